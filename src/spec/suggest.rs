//! "Did you mean": the nearest legal word, or what the word of another tool is called here.

use super::synonyms;

/// The candidate that a word most likely meant, if one is near enough to be worth showing: the same but for case and separators, then
/// what other tools call so, then what differs in a few letters.
pub fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let lowered = word.to_lowercase();
    let bare = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let mut alike = candidates.clone().into_iter();
    if let Some(candidate) = alike.find(|candidate| bare(candidate) == bare(word)) {
        return Some(candidate);
    }
    let all: Vec<&str> = candidates.clone().into_iter().collect();
    if let Some(candidate) = synonyms::meant(&lowered, &all) {
        return Some(candidate);
    }
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lowered, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= 1 + word.len().min(candidate.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A hint for an unknown word: the nearest candidate if there is one, else all of them.
pub fn hint<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(candidate) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean `{candidate}`?"));
    }
    let all: Vec<String> = candidates
        .into_iter()
        .map(|candidate| format!("`{candidate}`"))
        .collect();
    match all.len() {
        0 => None,
        1..=24 => Some(format!("one of {}", all.join(", "))),
        count => Some(format!(
            "one of {}, … ({count} in all)",
            all[..24].join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_ignores_strangers() {
        let kinds = ["fashion-mnist", "image-folder", "subset"];
        assert_eq!(nearest("fashon-mnist", kinds), Some("fashion-mnist"));
        assert_eq!(nearest("Image-Folder", kinds), Some("image-folder"));
        assert_eq!(nearest("imagefolder", kinds), Some("image-folder"));
        assert_eq!(nearest("folder", kinds), Some("image-folder"));
        assert_eq!(nearest("tiger", kinds), None);
        assert_eq!(
            hint("tiger", kinds).unwrap(),
            "one of `fashion-mnist`, `image-folder`, `subset`"
        );
    }
}
