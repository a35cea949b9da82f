#!/usr/bin/env python3
"""Extracts austen.txt from Debian's package r-cran-janeaustenr. Usage: see README.md in this directory.

The package keeps each novel as a character vector in R's lazy-load format: an index (`Rdata.rdx`, a compressed RDS)
names the offset and length of each compressed RDS inside `Rdata.rdb`. Needs `pip install rdata`.
"""

import pathlib
import sys
import zlib

import rdata

# In order of publication. Northanger Abbey is left out: its text in the package was normalised by a modern publisher.
NOVELS = ["sensesensibility", "prideprejudice", "mansfieldpark", "emma", "persuasion"]

# Remarks of later transcribers and printers inside the text (whole lines); they are not Austen's.
REMARKS = {
    "[At this point in the first and second editions, Volume 1 ends.]",
    "[At this point in the first and second editions, Volume II ended.]",
    "[End volume one of this edition.",
    "Printed by T. and A. Constable,",
    "Printers to Her Majesty at",
    "the Edinburgh University Press]",
}


def rds(raw: bytes):
    return rdata.conversion.convert(rdata.parser.parse_data(raw))


def main() -> None:
    package, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    data = package / "usr/lib/R/site-library/janeaustenr/data"
    index = rds(zlib.decompress((data / "Rdata.rdx").read_bytes(), 47))["variables"]
    database = (data / "Rdata.rdb").read_bytes()
    texts = []
    for novel in NOVELS:
        offset, length = (int(number) for number in index[novel])
        # Four bytes of the plain length in big endian, then a zlib stream.
        lines = rds(zlib.decompress(database[offset + 4 : offset + length]))
        kept = [str(line).rstrip() for line in lines if str(line).strip() not in REMARKS]
        texts.append("\n".join(kept).strip("\n") + "\n")
    target.write_text("\n\n\n".join(texts), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
