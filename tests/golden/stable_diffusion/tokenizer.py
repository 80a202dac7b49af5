"""Makes a small vocabulary out of a text, and records the ids that transformers gives other texts with it.

    python3 tokenizer.py FOLDER

Needs transformers (recorded with 5.23.0). FOLDER gets vocab.json and merges.txt, as a tokenizer's folder has them, and ids.json.
"""

import collections
import json
import os
import sys

from transformers import CLIPTokenizer

LEARNED = """a photo of a cat. a photo of the dog, and a photograph of two birds on a branch at night. it's the cat's photo; they're not
painted. an oil painting of a lighthouse in the storm, highly detailed, 4k. the quick brown fox jumps over the lazy dog 1234567890."""
MERGES = 90
TEXTS = [
    "",
    "a photo of a cat",
    "A  Photo\tof\nTHE Dogs!",
    "it's they're we'll I'd I'm you've can't x's",
    "1234, 4k & 3.14 -- (brackets) [more]...",
    "naïve café — “quotes” ünïcödé ß ÅÄÖ",
    "日本語 текст ελληνικά عربى",
    "emoji 🙂🙃 and ½ ² Ⅷ ",
    "hyphen-ated under_score slash/es a!?b",
    "ΌΔΟΣ İstanbul",
    "a <|endoftext|> inside",
]


def units():
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, added = {byte: chr(byte) for byte in shown}, 0
    for byte in range(256):
        if byte not in table:
            table[byte], added = chr(256 + added), added + 1
    return table


def learn(table):
    words = collections.Counter(LEARNED.lower().split())
    words = {tuple([*(table[b] for b in word.encode()[:-1]), table[word.encode()[-1]] + "</w>"]): n for word, n in words.items()}
    merges = []
    for _ in range(MERGES):
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged = {}
        for word, count in words.items():
            parts, place = [], 0
            while place < len(word):
                whole = word[place : place + 2] == best
                parts.append("".join(best) if whole else word[place])
                place += 2 if whole else 1
            merged[tuple(parts)] = count
        words = merged
    return merges


if __name__ == "__main__":
    folder, table = sys.argv[1], units()
    merges = learn(table)
    names = [*table.values(), *(one + "</w>" for one in table.values()), *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "vocab.json"), "w") as file:
        json.dump({name: number for number, name in enumerate(names)}, file, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w") as file:
        file.write("#version: 0.2\n" + "".join(f"{one} {other}\n" for one, other in merges))
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    ids = [tokenizer(text, padding="max_length", max_length=77).input_ids for text in TEXTS]
    assert len(names) == 604 and all(len(one) == 77 for one in ids)
    used = [one[: 1 + max(place for place, id in enumerate(one) if id != ids[0][-1])] for one in ids]
    with open(os.path.join(folder, "ids.json"), "w") as file:
        json.dump([{"text": text, "ids": one} for text, one in zip(TEXTS, used)], file, ensure_ascii=False, indent=1)
