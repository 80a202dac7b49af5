//! Links in an archive, followed within it: what a link leads to is there under the link's name as well, as in the folder that the archive
//! unpacks into.
//!
//! # Deviations
//! A link that leads out of the archive, to nothing in it, or to a folder that it lies in stays a link, which whoever asks for it is told.

use std::collections::HashMap;

use super::headers::{Allowance, Fault, Member, MemberKind};

/// So many links are followed from one to the next, as Linux does.
const MOST_HOPS: usize = 40;

/// Adds what links lead to, under the names of the links. Every name counts towards `allowance`.
///
/// # Errors
/// More names than an archive may list.
pub(super) fn follow(
    mut members: Vec<Member>,
    allowance: &Allowance,
) -> Result<Vec<Member>, Fault> {
    if members.iter().all(|member| member.target.is_none()) {
        return Ok(members);
    }
    members.sort_by(|left, right| left.name.cmp(&right.name));
    let added = added(&members, allowance)?;
    members.retain(|member| !added.contains_key(&member.name));
    let mut added: Vec<Member> = added.into_values().collect();
    added.sort_by(|left, right| left.name.cmp(&right.name));
    members.extend(added);
    Ok(members)
}

/// A link that is to be followed.
struct Link {
    name: String,
    target: String,
    header: u64,
    /// The folders that the links on the way to this one lead to.
    through: Vec<String>,
}

/// What is there under the names of links; `members` are in the order of their names.
fn added(members: &[Member], allowance: &Allowance) -> Result<HashMap<String, Member>, Fault> {
    let targets: HashMap<&str, &str> = members
        .iter()
        .filter_map(|member| Some((member.name.as_str(), member.target.as_deref()?)))
        .collect();
    let mut open: Vec<Link> = members
        .iter()
        .filter_map(|member| {
            Some(Link {
                name: member.name.clone(),
                target: member.target.clone()?,
                header: member.header,
                through: Vec::new(),
            })
        })
        .collect();
    let mut added = HashMap::new();
    while let Some(link) = open.pop() {
        let Some(target) = resolve(&link.target, &targets) else {
            continue;
        };
        let lies_in_it = target.is_empty() || within(&link.name, &target).is_some();
        if lies_in_it || link.name == target || link.through.contains(&target) {
            continue;
        }
        let mut add = |name: String, of: &Member| -> Result<(), Fault> {
            let taken = allowance.take(&name);
            taken.map_err(|problem| Fault {
                at: link.header,
                problem,
            })?;
            let member = Member {
                name: name.clone(),
                target: None,
                ..of.clone()
            };
            added.insert(name, member);
            Ok(())
        };
        let first = members.partition_point(|member| member.name < target);
        if let Some(member) = members.get(first).filter(|member| member.name == target)
            && member.kind == MemberKind::File
        {
            add(link.name, member)?;
            continue;
        }
        let folder = format!("{target}/");
        let first = members.partition_point(|member| member.name < folder);
        let inside = members[first..]
            .iter()
            .map_while(|member| Some((member, member.name.strip_prefix(&folder)?)));
        let mut is_there = has_folder(members, &target);
        for (member, rest) in inside {
            is_there = true;
            let name = format!("{}/{rest}", link.name);
            match &member.target {
                Some(further) => open.push(Link {
                    name,
                    target: further.clone(),
                    header: link.header,
                    through: [link.through.as_slice(), std::slice::from_ref(&target)].concat(),
                }),
                None => add(name, member)?,
            }
        }
        if is_there {
            let folder = Member {
                name: link.name.clone(),
                kind: MemberKind::Folder,
                header: link.header,
                content: 0..0,
                target: None,
            };
            add(link.name.clone(), &folder)?;
        }
    }
    Ok(added)
}

/// Whether there is a header for a folder of that name.
fn has_folder(members: &[Member], name: &str) -> bool {
    let found = members.binary_search_by(|member| member.name.as_str().cmp(name));
    found.is_ok_and(|place| members[place].kind == MemberKind::Folder)
}

/// What is left of a path below a folder.
fn within<'path>(path: &'path str, folder: &str) -> Option<&'path str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}

/// A path without links; `None` where they lead in a circle.
fn resolve(path: &str, targets: &HashMap<&str, &str>) -> Option<String> {
    let mut path = path.to_owned();
    for _ in 0..MOST_HOPS {
        let ends = path.match_indices('/').map(|(at, _)| at);
        let link = ends
            .chain([path.len()])
            .find_map(|end| Some((end, *targets.get(&path[..end])?)));
        let Some((end, target)) = link else {
            return Some(path);
        };
        path = format!("{target}{}", &path[end..]);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, kind: MemberKind, target: Option<&str>) -> Member {
        Member {
            name: name.to_owned(),
            kind,
            header: 0,
            content: 1..2,
            target: target.map(str::to_owned),
        }
    }

    fn followed(links: &[(&str, &str)]) -> Vec<(String, MemberKind)> {
        let mut members = vec![
            member("a/x.png", MemberKind::File, None),
            member("a/b/y.png", MemberKind::File, None),
        ];
        for (name, target) in links {
            members.push(member(name, MemberKind::Link, Some(target)));
        }
        let mut all: Vec<_> = follow(members, &Allowance::default())
            .unwrap()
            .into_iter()
            .map(|member| (member.name, member.kind))
            .filter(|(name, _)| !name.starts_with("a/"))
            .collect();
        all.sort_by(|left, right| left.0.cmp(&right.0));
        all
    }

    fn named(names: &[(&str, MemberKind)]) -> Vec<(String, MemberKind)> {
        let names = names.iter();
        names
            .map(|(name, kind)| ((*name).to_owned(), *kind))
            .collect()
    }

    #[test]
    fn files_and_folders_are_there_under_the_names_of_links() {
        use MemberKind::{File, Folder};
        let found = followed(&[("c", "a"), ("d.png", "c/b/y.png"), ("e", "c/b")]);
        assert_eq!(
            found,
            named(&[
                ("c", Folder),
                ("c/b/y.png", File),
                ("c/x.png", File),
                ("d.png", File),
                ("e", Folder),
                ("e/y.png", File),
            ])
        );
    }

    #[test]
    fn links_that_lead_nowhere_or_in_circles_stay_links() {
        use MemberKind::Link;
        assert_eq!(followed(&[("c", "z")]), named(&[("c", Link)]));
        assert_eq!(
            followed(&[("c", "d"), ("d", "c")]),
            named(&[("c", Link), ("d", Link)])
        );
        assert_eq!(followed(&[("c/up", "c")]), named(&[("c/up", Link)]));
        assert_eq!(followed(&[("c/up", "")]), named(&[("c/up", Link)]));
    }

    #[test]
    fn folders_that_link_to_each_other_end() {
        let found = followed(&[("c/x", "d"), ("d/y", "c"), ("c/f.png", "a/x.png")]);
        assert!(found.len() < 20, "{found:?}");
        let named = |name: &str| found.iter().any(|(found, _)| found == name);
        assert!(named("c/f.png") && named("d/y/f.png"), "{found:?}");
    }
}
