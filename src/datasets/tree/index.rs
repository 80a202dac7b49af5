//! What an archive holds: the members' names in order, each with its place.
//!
//! Held as Arrow columns, so that the index of ImageNet is 60 MB and not three times that, and can be kept as it is.

use std::collections::HashMap;
use std::io::{self, Cursor, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, LargeStringArray, RecordBatch, UInt8Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;

use super::headers::{Fault, Member, MemberKind};

/// Bytes of the digest behind a kept index.
const DIGEST: usize = 32;

/// Names and places of members, in the order of the archive.
#[derive(Debug)]
pub(super) struct Index {
    names: LargeStringArray,
    starts: UInt64Array,
    ends: UInt64Array,
    kinds: UInt8Array,
}

impl Index {
    /// Puts members into the order of their names.
    ///
    /// # Errors
    /// Two files of one name.
    pub(super) fn new(mut members: Vec<Member>) -> Result<Self, Fault> {
        members.sort_by(|left, right| (&left.name, left.header).cmp(&(&right.name, right.header)));
        let is_folder = |member: &Member| member.kind == MemberKind::Folder;
        let twice = members.windows(2).find_map(|pair| match pair {
            [first, second] if first.name == second.name => {
                (!is_folder(first) || !is_folder(second)).then_some((first, second))
            }
            _ => None,
        });
        if let Some((first, second)) = twice {
            return Err(Fault {
                at: second.header,
                problem: format!(
                    "has the name `{}`, which the header at byte {} has as well",
                    second.name, first.header
                ),
            });
        }
        members.dedup_by(|second, first| second.name == first.name);
        let number = |of: fn(&Member) -> u64| UInt64Array::from_iter_values(members.iter().map(of));
        Ok(Self {
            names: LargeStringArray::from_iter_values(members.iter().map(|member| &member.name)),
            starts: number(|member| member.content.start),
            ends: number(|member| member.content.end),
            kinds: UInt8Array::from_iter_values(members.iter().map(|member| code(member.kind))),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The position of the member of this name; `None` where there is none.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let place = self.first_from(name);
        (place < self.len() && self.names.value(place) == name).then_some(place)
    }

    /// The name of the member at a position, which must be below [`Index::len`].
    pub(super) fn name(&self, place: usize) -> &str {
        self.names.value(place)
    }

    /// Where the content of a member is, and what the member is.
    pub(super) fn member(&self, place: usize) -> (Range<u64>, MemberKind) {
        let content = self.starts.value(place)..self.ends.value(place);
        (content, kind(self.kinds.value(place)))
    }

    /// Whether something is in a folder, or the folder itself is listed.
    pub(super) fn has_folder(&self, folder: &str) -> bool {
        let listed = self.find(folder).map(|place| self.member(place).1);
        listed == Some(MemberKind::Folder) || self.below(folder).next().is_some()
    }

    /// The paths below a folder, counted from there, with what they are; those of deeper folders as well.
    pub(super) fn below(&self, folder: &str) -> impl Iterator<Item = (&str, MemberKind)> {
        let prefix = match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let places = self.first_from(&prefix)..self.len();
        places.map_while(move |place| {
            let rest = self.names.value(place).strip_prefix(&prefix)?;
            Some((rest, kind(self.kinds.value(place))))
        })
    }

    /// The first place whose name is not before a text.
    fn first_from(&self, text: &str) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.names.value(middle) < text {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Writes the index for [`Index::load`].
    pub(super) fn save(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.names.clone()),
            Arc::new(self.starts.clone()),
            Arc::new(self.ends.clone()),
            Arc::new(self.kinds.clone()),
        ];
        let schema = Arc::new(schema());
        let mut bytes = Vec::new();
        let written = RecordBatch::try_new(Arc::clone(&schema), columns).and_then(|batch| {
            let mut writer = FileWriter::try_new(&mut bytes, &schema)?;
            writer.write(&batch)?;
            writer.finish()
        });
        written.map_err(io::Error::other)?;
        out.write_all(&bytes)?;
        out.write_all(blake3::hash(&bytes).as_bytes())
    }

    /// An index that was saved; `None` if a byte of it is not as it was, or it does not fit an archive of so many bytes.
    pub(super) fn load(bytes: &[u8], length: u64) -> Option<Self> {
        let (bytes, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
        if blake3::hash(bytes).as_bytes() != digest {
            return None;
        }
        let mut reader = FileReader::try_new(Cursor::new(bytes), None).ok()?;
        let batch = reader.next()?.ok()?;
        if *batch.schema() != schema() {
            return None;
        }
        let number = |column: usize| batch.column(column).as_any().downcast_ref().cloned();
        let index = Self {
            names: batch.column(0).as_any().downcast_ref().cloned()?,
            starts: number(1)?,
            ends: number(2)?,
            kinds: batch.column(3).as_any().downcast_ref().cloned()?,
        };
        index
            .ends
            .values()
            .iter()
            .all(|end| *end <= length)
            .then_some(index)
    }
}

/// An index that was kept before links were followed has another one.
fn schema() -> Schema {
    let fields = vec![
        Field::new("name", DataType::LargeUtf8, false),
        Field::new("start", DataType::UInt64, false),
        Field::new("end", DataType::UInt64, false),
        Field::new("kind", DataType::UInt8, false),
    ];
    let links = ("links".to_owned(), "followed".to_owned());
    Schema::new_with_metadata(fields, HashMap::from([links]))
}

fn code(kind: MemberKind) -> u8 {
    match kind {
        MemberKind::File => 0,
        MemberKind::Folder => 1,
        MemberKind::Link => 2,
        MemberKind::Other => 3,
    }
}

fn kind(code: u8) -> MemberKind {
    match code {
        0 => MemberKind::File,
        1 => MemberKind::Folder,
        2 => MemberKind::Link,
        _ => MemberKind::Other,
    }
}
