# shellcheck shell=bash disable=SC2154 # what is not set here is set in common.sh and fetch-servers
# Servers out of Debian packages of any suite, unpacked together with all they
# depend on down to the C library, and run with the loader found there.  apt
# itself finds out what is needed and checks it against the archive's signature,
# on a state of its own below FOLDER/NAME/apt.  Needs no root.

# The repositories that this system's own release and its security updates come from
mirrors() { # sets $mirror, $security; either may be empty
  local targets release
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-?}") || release='?'
  # without the second option apt tells nothing before its first update
  # shellcheck disable=SC2016  # the fields are apt's
  targets=$(apt-get indextargets --no-release-info --format '$(RELEASE) $(REPO_URI)' \
    'Created-By: Packages' 2>>"$log") || :
  mirror=$(of_release "$release" '' <<<"$targets")
  security=$(of_release "$release" -security <<<"$targets")
}
of_release() { # CODENAME SUFFIX
  awk -v name="$1$2" -v alias="^(old)*stable$2\$" '!n && ($1 == name || $1 ~ alias) { print $2; n = 1 }'
}

# Sets apt up below $home/apt to know SUITE and nothing else.  HELD are packages
# that are taken for installed: what the programs used here can do without.
apt_setup() { # SUITE HELD...
  local suite=$1 key=/usr/share/keyrings/debian-archive-keyring.gpg mirror security how package
  shift
  [[ -r $key ]] || system_packages debian-archive-keyring
  [[ -r $key ]] || die "the package debian-archive-keyring is there, but not $key"
  mkdir -p -- "$apt"/etc/apt/preferences.d "$apt"/var/lib/{apt/lists,dpkg}/partial "$apt"/var/cache/apt/archives/partial \
    "$apt"/var/log/apt "$apt"/empty/partial

  for package; do
    printf '%s\n' "Package: $package" 'Status: install ok installed' 'Architecture: amd64' \
      'Multi-Arch: allowed' 'Version: 99:0' 'Maintainer: nobody' 'Description: held' ''
  done >"$apt/var/lib/dpkg/status"

  if [[ -n ${PMP_HA_DEBIAN_MIRROR-} ]]; then
    mirror=$PMP_HA_DEBIAN_MIRROR security=
  else
    mirrors
    [[ -n $mirror ]] || die "found no Debian mirror in apt's settings; name one in PMP_HA_DEBIAN_MIRROR"
  fi
  how="deb [arch=amd64 signed-by=$key lang=none target=Packages]"
  {
    printf '%s\n' "$how $mirror $suite main"
    # sid has none
    [[ $suite == sid || -z $security ]] || printf '%s\n' "$how $security $suite-security main"
  } >"$apt/etc/apt/sources.list"

  # Read after the system's own settings, of which a proxy or a certificate has
  # to stay in force, but no hook and no laxity.
  cat >"$apt/settings" <<TEXT
Dir "$apt/";
Dir::State::status "$apt/var/lib/dpkg/status";
Dir::State "var/lib/apt/";
Dir::State::lists "lists/";
Dir::Cache "var/cache/apt/";
Dir::Cache::archives "archives/";
Dir::Etc "etc/apt/";
Dir::Log "var/log/apt/";
#clear APT::Architectures;
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Default-Release "";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
TEXT
}

# Has the mirror been asked within the last twelve hours?
asked_lately() {
  [[ $refresh == no && -s $home/packages && -n $(find "$home/asked" -mmin -720 2>/dev/null) ]]
}

# Gets the index.  A mirror that somebody froze has one that is signed but has
# expired: for a server to test with that will do.
update() {
  logged timeout --foreground 300 apt-get -c "$apt/settings" -qq update && return
  grep -q '^E: Release file .* is expired' "$log" || return 1
  say "$name: the mirror's index is signed, but has expired; taking it all the same"
  logged timeout --foreground 300 apt-get -c "$apt/settings" -o Acquire::Check-Valid-Until=false -qq update
}

# Brings $home/packages up to date: file name, size and SHA-256 of all that is needed.
# The first package is the server itself.
resolve() { # PACKAGE...
  local offer
  if ! update; then
    [[ -s $home/packages ]] || die "the Debian mirror cannot be used now"
    say "$name: the Debian mirror cannot be used now, going by what it said last time"
    return 0
  fi
  # with an archive folder that is empty, or apt leaves out what it has already
  apt-get -c "$apt/settings" -o Dir::Cache::archives="$apt/empty/" -o Acquire::ForceHash=SHA256 \
    -qq -y --print-uris install "$@" 2>>"$log" | awk '{ print $2, $3, $4 }' | sort >"$home/packages.new" ||
    die "apt cannot resolve $*"
  [[ -s $home/packages.new ]] || die "apt resolves $* to nothing"
  offer=$(grep "^$1_" "$home/packages.new") || die "apt leaves out $1"
  offer=${offer%%_amd64.deb*} offer=${offer#*_} offer=${offer#*%3a}
  if [[ $offer == "${name#*-}."* ]]; then
    mv -- "$home/packages.new" "$home/packages"
  else
    rm -f -- "$home/packages.new"
    [[ -s $home/packages ]] || die "Debian has moved on, the mirror offers $offer there"
    say "$name: Debian has moved on to $offer, staying with what is here"
  fi
  touch -- "$home/asked"
}

# Is every file in $home/packages here, and the one that the signed index means?
# Files that are not get removed: apt itself would go by the size only.
archives_good() {
  local file size sum good=0
  while read -r file size sum; do
    [[ $sum == SHA256:* ]] || die "apt does not tell the SHA-256 of $file"
    if [[ ! -f $archives/$file ]]; then
      good=1
    elif [[ $(sha256sum <"$archives/$file") != "${sum#SHA256:}  -" ]]; then
      printf 'not as the index says: %s (%s bytes there)\n' "$file" "$size" >>"$log"
      rm -f -- "$archives/$file"
      good=1
    fi
  done <"$home/packages"
  return "$good"
}

archives_prune() {
  local path
  for path in "$archives"/*.deb; do
    if [[ -f $path ]] && ! grep -qF -- "${path##*/} " "$home/packages"; then rm -f -- "$path"; fi
  done
}

download() { # PACKAGE...
  local try
  for try in 1 2 3; do
    if archives_good; then return 0; fi
    ((try > 1)) || say "$name: downloading"
    logged timeout --foreground 900 apt-get -c "$apt/settings" -qq -y --download-only install "$@" ||
      sleep 3
  done
  archives_good || die "the Debian packages could not be downloaded"
}

unpack() {
  local file rest dir
  # The folders that Debian has merged, as links, or the loader of one package
  # and the libraries of another end in different places
  for dir in bin sbin lib lib64; do
    mkdir -p -- "$part/root/usr/$dir"
    ln -s -- "usr/$dir" "$part/root/$dir"
  done
  # shellcheck disable=SC2034  # rest
  while read -r file rest; do
    dpkg-deb --fsys-tarfile "$archives/$file" 2>>"$log" |
      tar -x -C "$part/root" --keep-directory-symlink --no-same-owner --exclude='./usr/share/doc' \
        --exclude='./usr/share/man' --exclude='./usr/share/locale' 2>>"$log" ||
      die "cannot unpack $file"
  done <"$home/packages"
}

# One server of Debian.  Calls the function WRAP to write the wrappers.
debian_server() { # SUITE WRAP "HELD..." SERVER-PACKAGE PACKAGE...
  local suite=$1 wrap=$2 held=$3 id
  shift 3
  apt=$home/apt archives=$home/apt/var/cache/apt/archives
  if asked_lately && current "$(tree_id <"$home/packages")"; then
    say "$name: there, and the mirror was asked not long ago"
    return 0
  fi
  if ! command -v apt-get || ! command -v dpkg-deb; then
    die "needs a system of the Debian family (apt-get, dpkg-deb)"
  fi >/dev/null
  say "$name: asking Debian $suite"
  # shellcheck disable=SC2086  # a list of words
  apt_setup "$suite" $held
  resolve "$@"
  id=$(tree_id <"$home/packages")
  if current "$id"; then
    say "$name: up to date"
    return 0
  fi
  download "$@"
  say "$name: unpacking $(wc -l <"$home/packages") packages"
  begin_tree
  unpack
  "$wrap"
  finish_tree "$id"
  archives_prune
}

# Where the packages put libraries.  libproxy has a folder of its own, and whether
# something needs it changes with the suite.
LIBRARIES=(usr/lib/x86_64-linux-gnu usr/lib/x86_64-linux-gnu/libproxy usr/lib)
LOADER=usr/lib64/ld-linux-x86-64.so.2

debian_wrapper() { # WRAPPER PROGRAM [OPTION...]
  local to=$1 program=$2 path foreign
  shift 2
  [[ -x $part/root$program ]] || die "$program is not in the packages"
  # the system's libraries go with another C library: none of them may be needed
  path=$(printf ':%s' "${LIBRARIES[@]/#/"$part/root/"}")
  foreign=$("$part/root/$LOADER" --inhibit-cache --library-path "${path#:}" --list "$part/root$program" 2>&1 |
    awk -v tree="$part/root/" '!/linux-vdso/ && !index($0, tree) { print $1 }')
  [[ -z $foreign ]] || die "$program needs what is not in the packages: ${foreign//$'\n'/ }"
  path=$(printf ':%s' "${LIBRARIES[@]/#/"\$root/"}") # for the wrapper to expand
  wrapper "$to" "\"\$root/$LOADER\" --inhibit-cache" "${path#:}" "\$root$program" "$@"
}

# The client programs of both families, under MySQL's names
debian_clients() { # NAME-PREFIX OPTION...
  local prefix=$1 tool
  shift
  debian_wrapper mysql "/usr/bin/$prefix" "$@"
  [[ $prefix == mysql ]] || prefix=$prefix-
  for tool in admin dump binlog; do
    debian_wrapper "mysql$tool" "/usr/bin/$prefix$tool" "$@"
  done
}

# shellcheck disable=SC2016  # $root is for the wrappers to expand
wrap_mysql97() {
  local share='$root/usr/share/mysql'
  local common=("--character-sets-dir=$share/charsets" '--plugin-dir=$root/usr/lib/mysql/plugin')
  # the compiled-in folder for exports does not exist here, which would stop the server
  debian_wrapper mysqld /usr/sbin/mysqld '--basedir=$root/usr' "--lc-messages-dir=$share" \
    "${common[@]}" --secure-file-priv=NULL
  debian_clients mysql "${common[@]}"
}

# shellcheck disable=SC2016
wrap_mariadb() {
  local share='$root/usr/share/mysql'
  # the folder has changed its name in the course of time
  [[ ! -e $part/root/usr/share/mariadb/english/errmsg.sys ]] || share='$root/usr/share/mariadb'
  local common=("--character-sets-dir=$share/charsets" '--plugin-dir=$root/usr/lib/mysql/plugin')
  debian_wrapper mysqld /usr/sbin/mariadbd '--basedir=$root/usr' "--lc-messages-dir=$share" "${common[@]}"
  debian_clients mariadb "${common[@]}"
  debian_wrapper mariadb-backup /usr/bin/mariadb-backup
}

fetch_mysql97() {
  debian_server sid wrap_mysql97 perl mysql-server-core mysql-client-core
}

fetch_mariadb() { # SUITE
  debian_server "$1" wrap_mariadb "perl libdbi-perl libdbd-mariadb-perl libterm-readkey-perl \
    libhtml-template-perl debconf debianutils ucf passwd procps psmisc lsof iproute2 rsync socat \
    galera-4 mysql-common mariadb-common" mariadb-server-core mariadb-client-core mariadb-client mariadb-backup
}
