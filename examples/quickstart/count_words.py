"""Count the words of a text and write what was found as JSON: `count_words.py TEXT > RESULT.json`."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

text = Path(sys.argv[1]).read_text(encoding="utf-8")
words = re.findall(r"[a-z]+(?:['-][a-z]+)*", text.lower())
counted = Counter(words)
found = {
    "words": len(words),
    "lines": sum(bool(line.strip()) for line in text.splitlines()),
    "different_words": len(counted),
    "longest_word": max(words, key=len),
    "most_frequent": " ".join(word for word, _ in counted.most_common(5)),
}
print(json.dumps(found, indent=2))
