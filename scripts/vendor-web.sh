#!/usr/bin/env bash
# Fetches the Web UI's third-party modules from the npm registry into src/web/assets/vendor, each checked against its hash.
# Only who changes a version runs it; the result is committed, and neither users nor CI need npm.
set -euo pipefail
cd "$(dirname "$0")/.."
vendor=src/web/assets/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# package, version, sha512 of its tarball (as npm writes it), file in it, name here
packages='
preact           11.2.0  /HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==    dist/preact.mjs           preact.js
preact           11.2.0  /HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==    hooks/dist/hooks.mjs      hooks.js
htm              3.1.1   983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==       dist/htm.mjs              htm.js
@preact/signals  2.11.4  Rb+5RPo9gWSaHtzJeauhHxiC8KP/IF2DEPkHPEOGOnuy2wnJzRqyeLRankUCYd6ADqtxS6GnWGv6Ie343d8aYw==   dist/signals.mjs          signals.js
@preact/signals-core 1.14.5 vcRv7Ityz5JVmeiVqIluLFzT/PDS/AlhHUpw3/aUWqcVUs6bDGIPXE/6RSC4evBNWYvnniozg5Syfj33al3gkg==   dist/signals-core.mjs     signals-core.js
uplot            1.6.32  KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==     dist/uPlot.iife.min.js    uplot.js
uplot            1.6.32  KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==     dist/uPlot.min.css        uplot.css
@dagrejs/dagre   3.1.3   X4aUTwOReZvthaZWOVHqlJ52/ZdhZFEM4+Lh/uR4XooUSLE6p71bcy7MPGzYnNUcNh+nj+i/qJQpCMIdQnSmrg==     dist/dagre.esm.js         dagre.js
'

mkdir -p "$vendor"
{ echo "The Web UI's third-party modules and their licences."; } >"$work/LICENSES.txt"
while read -r package version hash file name; do
  [ -n "$package" ] || continue
  dir="$work/${package//\//_}-$version"
  if [ ! -d "$dir" ]; then
    tarball=$(cd "$work" && npm pack --silent "$package@$version")
    actual=$(openssl dgst -sha512 -binary "$work/$tarball" | base64 -w0)
    [ "$actual" = "$hash" ] || { echo "$package@$version has the hash $actual, not $hash" >&2; exit 1; }
    mkdir "$dir" && tar -xzf "$work/$tarball" -C "$dir" --strip-components 1
    { printf '\n\n==== %s %s (https://www.npmjs.com/package/%s)\n\n' "$package" "$version" "$package"; cat "$dir/LICENSE"; } >>"$work/LICENSES.txt"
  fi
  # Browsers resolve relative names only, and a map that is not there is a failed request.
  sed -E -e 's#"preact/hooks"#"./hooks.js"#g; s#"preact"#"./preact.js"#g; s#"@preact/signals-core"#"./signals-core.js"#g' \
    -e 's#//\# sourceMappingURL=.*$##' -e 's#/\*! For license information.*\*/##' "$dir/$file" >"$vendor/$name"
done <<<"$packages"
echo 'export default uPlot;' >>"$vendor/uplot.js"
cp "$work/LICENSES.txt" "$vendor/LICENSES.txt"
ls -l "$vendor"
