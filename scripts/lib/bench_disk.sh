# shellcheck shell=bash
# State beyond memory beside embedded stores. Sourced by bench.sh.

bench_disk() {
  local keys=10000000 memory=43 seconds=20 peers="rocksdb rocksdb-each fjall redb" manifest="$ROOT/benches/peers/disk/Cargo.toml"
  while (($# > 0)); do
    case "$1" in
      --keys) need_value "$@"; keys="$2"; shift 2 ;;
      --memory) need_value "$@"; memory="$2"; shift 2 ;;
      --seconds) need_value "$@"; seconds="$2"; shift 2 ;;
      --only) need_value "$@"; peers="$2"; shift 2 ;;
      *) fail "disk does not know $1" ;;
    esac
  done
  (cd "$ROOT" && DISK_KEYS="$keys" DISK_MEMORY_MB="$memory" DISK_SECONDS="$seconds" cargo bench --quiet --bench disk)
  if ! cargo build --release --quiet --manifest-path "$manifest"; then
    echo "the peers do not build; RocksDB wants librocksdb-dev"
    return
  fi
  local peer spread
  for spread in uniform zipf; do
    for peer in $peers; do
      "$ROOT/benches/peers/disk/target/release/flott-peers-disk" "$peer" "$keys" "$memory" "$spread" "$seconds" || true
    done
  done
}
