# shellcheck shell=bash disable=SC2154 # what is not set here is set in fetch-servers
# Shared by the recipes.  Sourced by fetch-servers, which sets $folder, $recipes, $refresh.
#
# What stands in FOLDER/NAME:
#   tree-ID/      one complete server: bin/ and root/; ID stands for its contents
#   bin           symbolic link to tree-ID/bin, the last thing that is set
#   fetch.log     what the programs used by the last run had to say
#   .lock         held while a run works here
# and what the recipe keeps for the next run: the tarball, or apt/ with the package
# files, packages (what the tree consists of) and asked (its time: when the mirror
# was last asked).
# A tree is made under another name and renamed when it is whole, so that a run
# that was cut off at any point leaves nothing that looks like a server.

die() { # REASON: ends the recipe (it runs in a subshell)
  printf '%s\n' "$*"
  exit 1
}

logged() { # COMMAND...: its output goes into the log
  printf '+ %s\n' "$*" >>"$log"
  "$@" >>"$log" 2>&1
}

# Sets $name, $home, $log and takes the lock.  The exit code 3: there is no log.
enter() { # NAME
  name=$1 home=$folder/$1 log=$folder/$1/fetch.log
  [[ $(uname -m) == x86_64 ]] || refuse "the servers exist for x86_64 only, this is $(uname -m)"
  mkdir -p -- "$home" || refuse "cannot make the folder $home"
  { exec 9>"$home/.lock"; } 2>/dev/null || refuse "cannot write into $home"
  if ! flock -n 9; then
    say "$name: another fetch-servers is working on it, waiting"
    flock -w 1800 9 || refuse "another fetch-servers did not finish within 30 minutes"
  fi
  { : >"$log"; } 2>/dev/null || refuse "cannot write into $home"
}

refuse() { # REASON
  printf '%s\n' "$*"
  exit 3
}

show_log() { # NAME
  [[ -s $folder/$1/fetch.log ]] || return 0
  tail -n 25 -- "$folder/$1/fetch.log" | sed 's/^/    | /' >&2
}

# The server's own words about its version; fails unless it is there, runs, and
# is of the series that its name says.
version_of() { # NAME [TREE]
  local text
  text=$("${2:-$folder/$1}/bin/mysqld" --no-defaults --version 2>/dev/null </dev/null) || return 1
  [[ $text == *" Ver ${1#*-}."* ]] || return 1
  printf 'mysqld  Ver %s\n' "${text#* Ver }"
}

# Packages of the system itself.  Only called when something is missing.
system_packages() { # PACKAGE...
  local root=() try
  command -v apt-get >/dev/null || die "needs $*, and there is no apt-get here to install it"
  if ((EUID)); then
    if ! sudo -n true 2>/dev/null; then
      die "needs $*; run: sudo apt-get update && sudo apt-get install --no-install-recommends $*"
    fi
    root=(sudo -n)
  fi
  say "$name: installing $*"
  exec 8>"$folder/.system.lock"
  flock -w 900 8 || die "another fetch-servers is installing packages and does not finish"
  for try in 1 2 3; do
    # a foreign source that is out of order must not be in the way: only the
    # installation has to succeed
    logged "${root[@]}" timeout --foreground 300 apt-get -qq update || :
    if logged "${root[@]}" timeout --foreground 900 env DEBIAN_FRONTEND=noninteractive \
      apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 install "$@" </dev/null; then
      flock -u 8
      return 0
    fi
    ((try == 3)) || sleep 5
  done
  die "could not install $*"
}

tree_id() { # reads on stdin what the tree consists of besides these recipes
  cat - "$recipes"/* | sha256sum | cut -c1-12
}

# Is the tree with this ID there, in use, and in working order?
current() { # ID
  [[ $(readlink -- "$home/bin") == "tree-$1/bin" ]] && version_of "$name" >/dev/null
}

# The folder in which a new tree is to be made ($part), empty
begin_tree() {
  part=$home/part
  rm -rf -- "$part"
  mkdir -p -- "$part/bin" "$part/root"
}

# Checks the tree in $part and makes it the one that is used
finish_tree() { # ID
  install -m 755 -- "$recipes/initdb" "$part/bin/initdb"
  chmod -R u+rwX,go+rX,u-s,g-s -- "$part"
  logged "$part/bin/mysqld" --no-defaults --version </dev/null ||
    die "the server that was fetched does not run here"
  version_of "$name" "$part" >/dev/null ||
    die "what was fetched is not ${name/-/ } but: $(tail -n 1 -- "$log")"
  # a tree of this name is either this very one, broken, or not in use
  rm -rf -- "$home/tree-$1"
  mv -T -- "$part" "$home/tree-$1"
  ln -sfn -- "tree-$1/bin" "$home/bin.new"
  mv -T -- "$home/bin.new" "$home/bin"
}

# Removes trees that nothing refers to, except those a server still runs from
sweep() {
  local tree used
  used=$(readlink -- "$home/bin")
  for tree in "$home"/tree-*; do
    [[ -d $tree && ${tree##*/} != "${used%/bin}" ]] || continue
    # the path to look for is handed over on a descriptor, or grep finds itself
    if grep -qsF -f <(printf '%s/\n' "$tree") /proc/[0-9]*/cmdline; then
      say "$name: ${tree##*/} is replaced, but a server runs from it; left for the next run"
    else
      rm -rf -- "$tree"
    fi
  done
  rm -rf -- "$home/part"
}

# Writes $part/bin/WRAPPER, which runs PROGRAM with the fixed OPTIONs ahead of
# the caller's, so that the caller's win.  Every program is run through a loader
# called with its library path, because a variable for it would be inherited.
# LOADER (a word of shell, or more), LIBRARIES, PROGRAM and OPTIONs may contain
# $root; all but the first are put between double quotes.
wrapper() { # WRAPPER LOADER LIBRARIES PROGRAM [OPTION...]
  local file=$part/bin/$1 loader=$2 libraries=$3 program=$4 fixed=
  shift 4
  (($# == 0)) || fixed=$(printf ' "%s"' "$@")
  {
    cat <<'TEXT'
#!/bin/sh
# Written by fetch-servers.
self=$(readlink -f -- "$0")
root=${self%/bin/*}/root

# The options that are only understood in front of all others
lead=0
for arg; do
  case $arg in
    --no-defaults | --print-defaults | --no-login-paths | --login-path=* | \
      --defaults-file=* | --defaults-extra-file=* | --defaults-group-suffix=*) lead=$((lead + 1)) ;;
    *) break ;;
  esac
done
TEXT
    [[ -z $fixed ]] || cat <<TEXT

# Turn the argument list round once, with the fixed options slipped in after those
left=\$#
while :; do
  [ "\$lead" -ne 0 ] || set -- "\$@"$fixed
  [ "\$left" -ne 0 ] || break
  set -- "\$@" "\$1"
  shift
  left=\$((left - 1)) lead=\$((lead - 1))
done
TEXT
    cat <<TEXT

exec $loader --argv0 "$program" \\
  --library-path "$libraries" \\
  "$program" "\$@"
TEXT
  } >"$file"
  chmod 755 -- "$file"
}
