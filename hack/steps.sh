# What the scripts of this folder share: how they tell a person how far they
# are. To be sourced.

# modules are the folders of the Go modules with code of this project, as seen from the root.
# hack/cluster/kubernetes is not among them: it is other people's code.
modules=(. loadtest hack/cluster hack/vulnerabilities)

# step says what comes next.
step() {
  printf '\n==> [%d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"
}

# die ends the script with a message.
die() {
  printf '\nerror: %s\n' "$*" >&2
  exit 1
}

# quietly LABEL COMMAND... runs a command whose output nobody needs unless it
# fails, and says every ten seconds that it still runs.
quietly() {
  local label=$1 log status=0 start=$SECONDS next=10 pid
  shift
  log=$(mktemp)
  "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if ((SECONDS - start >= next)); then
      echo "    $label: $((SECONDS - start)) s, $(wc -l <"$log") lines of output"
      next=$((next + 10))
    fi
    sleep 0.2
  done
  wait "$pid" || status=$?
  if ((status)); then
    cat "$log" >&2
    rm -f "$log"
    die "$label did not work (exit code $status)"
  fi
  rm -f "$log"
  echo "    $label: done in $((SECONDS - start)) s"
}

# node_modules FOLDER... installs the npm packages of folders, where they are
# missing or not those of the lock file.
node_modules() {
  local folder
  for folder in "$@"; do
    if [[ ! $folder/node_modules/.package-lock.json -nt $folder/package-lock.json ]]; then
      quietly "npm packages of $folder" npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error
    fi
  done
}

# find_kubectl prints the path of a kubectl: the user's, or else the local
# cluster's own.
find_kubectl() {
  local assets
  if command -v kubectl; then return; fi
  if [[ ! -x bin/cluster ]]; then hack/build cluster >&2; fi
  assets=$(bin/cluster assets)
  echo "$assets/kubectl"
}
