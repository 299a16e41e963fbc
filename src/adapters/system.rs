//! What is particular to the operating system: locks, processes, signals, owners and modes,
//! the names of the product's scripts. A second system is a second file like this one.

use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use nix::errno::Errno;
use nix::fcntl::{
    AT_FDCWD, FallocateFlags, FcntlArg, Flock, FlockArg, OFlag, PosixFadviseAdvice, RenameFlags, fallocate,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The product's script that starts the bundled database: `startDB.sh PORT TMPDIR`.
pub const START_SCRIPT: &str = "startDB.sh";

/// The product's script that stops it: `stopDB.sh PORT USER TMPDIR [PASSWORD]`.
pub const STOP_SCRIPT: &str = "stopDB.sh";

/// The bundled server, from the home.
pub const SERVER: &str = "mysql/bin/mysqld";

/// The service script, whose link says where the product is installed.
pub const SERVICE_LINK: &str = "/etc/init.d/pmp-service";

/// Returns the process that holds a lock on the file, which for `ibdata1` is a running server.
pub fn lock_holder(path: &Path) -> Result<Option<u32>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut lock = nix::libc::flock {
        l_type: i16::try_from(nix::libc::F_WRLCK)?,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    nix::fcntl::fcntl(file.file().as_fd(), FcntlArg::F_GETLK(&mut lock))
        .with_context(|| format!("cannot ask who holds the lock on {}", path.display()))?;
    let free = i32::from(lock.l_type) == nix::libc::F_UNLCK;
    Ok(if free { None } else { Some(u32::try_from(lock.l_pid).unwrap_or(0)) })
}

/// Tells whether a process of this id exists.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    // A zombie has ended, although its parent has not taken note of it yet.
    let zombie = fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')));
    !zombie
        && i32::try_from(pid).is_ok_and(|pid| !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH)))
}

/// Tells whether a process of this group exists.
#[must_use]
pub fn is_group_alive(group: u32) -> bool {
    i32::try_from(group)
        .is_ok_and(|group| !matches!(nix::sys::signal::killpg(Pid::from_raw(group), None), Err(Errno::ESRCH)))
}

/// Asks a process to end in good order.
pub fn terminate(pid: u32) -> Result<()> {
    // A holder in another PID namespace has no number here, and 0 would mean our own group.
    if pid == 0 {
        bail!("the process that holds the data lives in another container: stop it there");
    }
    match kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot send SIGTERM to process {pid}")),
    }
}

/// Ends a process at once, without giving it time for anything.
pub fn kill_at_once(pid: u32) -> Result<()> {
    if pid == 0 {
        bail!("the process lives in another container: end it there");
    }
    match kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot end process {pid}")),
    }
}

/// Every process with the words of its command line.
fn command_lines() -> Vec<(u32, Vec<String>)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let words = |line: &[u8]| {
        line.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, words(&fs::read(entry.path().join("cmdline")).ok()?)))
        })
        .collect()
}

/// Finds processes that were given exactly this argument.
#[must_use]
pub fn processes_with(argument: &str) -> Vec<u32> {
    let given = |(_, words): &(u32, Vec<String>)| words.iter().any(|word| word == argument);
    command_lines().into_iter().filter(given).map(|(pid, _)| pid).collect()
}

/// Tells whether a process has `text` in its command line.
#[must_use]
pub fn mentions(pid: u32, text: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
}

/// Calls `act` whenever the operator, or the system, asks this process to stop. Needs a tokio runtime.
pub fn on_stop_signal(act: impl Fn() + Send + Sync + 'static) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let act = std::sync::Arc::new(act);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut stream = signal(kind)?;
        let act = std::sync::Arc::clone(&act);
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                act();
            }
        });
    }
    Ok(())
}

/// Connects to the socket of a server on this machine.
pub async fn connect_local(path: &Path) -> std::io::Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(path).await
}

/// A socket for a single caller, in a folder that only this account can enter.
pub struct OneCaller {
    listener: tokio::net::UnixListener,
    path: PathBuf,
    folder: tempfile::TempDir,
}

/// Opens a socket for one caller. Needs a tokio runtime.
pub fn one_caller() -> std::io::Result<OneCaller> {
    // The path of a socket has at most 107 bytes.
    const LONGEST_FOLDER: usize = 80;
    let temporary = std::env::temp_dir();
    let fits = temporary.as_os_str().len() <= LONGEST_FOLDER;
    let folder = tempfile::Builder::new()
        .prefix("pmp-ha-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(if fits { &temporary } else { Path::new("/tmp") })?;
    let path = folder.path().join("socket");
    Ok(OneCaller { listener: tokio::net::UnixListener::bind(&path)?, path, folder })
}

impl OneCaller {
    /// Where to call.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the caller; with it the folder goes.
    pub async fn accept(self) -> std::io::Result<tokio::net::UnixStream> {
        let (stream, _) = self.listener.accept().await?;
        self.folder.close()?;
        Ok(stream)
    }
}

/// Finds processes of the product itself (Java, or its wrapper) that run out of `home`.
#[must_use]
pub fn product_processes(home: &Path) -> Vec<(u32, String)> {
    let home = home.to_string_lossy().into_owned();
    let mut out = Vec::new();
    for (pid, words) in command_lines() {
        let program =
            words.first().map(|word| word.rsplit('/').next().unwrap_or(word).to_owned()).unwrap_or_default();
        let product = program == "java" || program == "wrapper";
        let inside = |word: &String| {
            word.split([':', '=']).any(|part| part == home || part.starts_with(&format!("{home}/")))
        };
        if product && words.iter().any(inside) {
            out.push((pid, program));
        }
    }
    out
}

/// Starts a script with the shell, cut off from this terminal, its output in `log`.
pub fn spawn_script(script: &Path, args: &[String], log: &Path) -> Result<Child> {
    let out = private_file(log)?;
    let err = out.try_clone()?;
    let folder = script.parent().unwrap_or(Path::new("/"));
    Command::new("/bin/sh")
        .arg(script)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::from(out.into_parts().0))
        .stderr(Stdio::from(err.into_parts().0))
        // Ctrl-C on our terminal must not reach the database.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {}", script.display()))
}

/// This program.
pub fn this_program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot tell where this program lies")
}

/// Starts this program once more, cut off from this terminal; what it says on stdout can be read.
pub fn spawn_self(args: &[&str]) -> Result<Child> {
    Command::new(this_program()?)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot run this program once more")
}

/// Waits for the first line that a child says.
pub fn first_line_of(child: &mut Child) -> Result<String> {
    let mut line = String::new();
    let stdout = child.stdout.take().context("its output is not read")?;
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Makes a file that only its owner can read from its first byte on, to be written and read back; an
/// old one is emptied.
pub fn private_file(path: &Path) -> Result<fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW);
    let file = fs::OpenOptions::from_options(options).open(path)?;
    // An old file may have had another mode.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Reads exactly `buffer` from an offset, whatever others do with the file.
pub fn read_exact_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    file.file().read_exact_at(buffer, offset)
}

/// Writes all of `bytes` to an offset, whatever others do with the file.
pub fn write_all_at(file: &fs::File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    file.file().write_all_at(bytes, offset)
}

/// What every disk can read and write at a time: direct reads and writes begin and end at multiples of
/// it, and so does the memory that they use.
pub const DIRECT_UNIT: usize = 4096;

/// Opens a file for reading past the system's cache; through it, where the filesystem cannot do that.
pub fn open_direct(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    direct_if_possible(&options, 0, path)
}

/// The same for a file that is there, to be written and read back.
pub fn open_direct_for_writing(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true);
    direct_if_possible(&options, nix::libc::O_NOFOLLOW, path)
}

fn direct_if_possible(options: &fs::OpenOptions, flags: i32, path: &Path) -> std::io::Result<fs::File> {
    let open = |flags| {
        let mut options = options.clone();
        options.options_mut().custom_flags(flags);
        options.open(path)
    };
    let file = open(flags | nix::libc::O_DIRECT).or_else(|error| match error.kind() {
        ErrorKind::InvalidInput => open(flags),
        _ => Err(error),
    })?;
    advise(&file, 0..0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
    Ok(file)
}

/// Whether a file is read and written past the cache.
pub fn is_direct(file: &fs::File) -> std::io::Result<bool> {
    let flags = nix::fcntl::fcntl(file.file(), FcntlArg::F_GETFL)?;
    Ok(OFlag::from_bits_retain(flags).contains(OFlag::O_DIRECT))
}

/// From now on the file is read and written through the cache.
fn use_cache(file: &fs::File) -> std::io::Result<()> {
    nix::fcntl::fcntl(file.file(), FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(())
}

/// Reads into `buffer` from an offset until it is full or the file ends, and returns how much. What
/// cannot be read past the cache is read through it from then on.
pub fn read_direct_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut length = 0;
    let mut is_refused = false;
    while length < buffer.len() {
        match file.file().read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The file has ended, and not at a whole unit.
            Err(error) if error.kind() == ErrorKind::InvalidInput && length % DIRECT_UNIT != 0 => break,
            Err(error) if error.kind() == ErrorKind::InvalidInput && !is_refused => {
                use_cache(file)?;
                is_refused = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Writes whole units. What cannot be written past the cache is written through it from then on.
pub fn write_direct_at(file: &fs::File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    match write_all_at(file, bytes, offset) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            use_cache(file)?;
            write_all_at(file, bytes, offset)
        }
        done => done,
    }
}

/// Takes the room for a file of this size at once, where the filesystem can do that.
pub fn allocate(file: &fs::File, size: u64) -> std::io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    match fallocate(file.file(), FallocateFlags::empty(), 0, size) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        done => Ok(done?),
    }
}

/// Lets the system forget what it keeps of a durable file in memory: the next read asks the disk.
pub fn forget_cached(file: &fs::File) {
    forget_cached_part(file, 0..0);
}

/// The same for some bytes of a file; `0..0` are all of it.
pub fn forget_cached_part(file: &fs::File, part: Range<u64>) {
    advise(file, part, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

fn advise(file: &fs::File, part: Range<u64>, advice: PosixFadviseAdvice) {
    let offset = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    // ignored: advice is all it is
    let _ = nix::fcntl::posix_fadvise(file.file(), offset(part.start), offset(part.end - part.start), advice);
}

/// Opens a file for adding to its end; a new one only its owner can read.
pub fn append_private(path: &Path) -> Result<fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    Ok(fs::OpenOptions::from_options(options).open(path)?)
}

/// Sets the mode bits of a path.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

/// Makes a folder that only its owner can enter, and its parents.
pub fn private_dir(path: &Path) -> Result<()> {
    if !path.is_dir() {
        fs::create_dir_all(path)?;
    }
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    Ok(())
}

/// Who a file belongs to and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    uid: u32,
    gid: u32,
}

/// Returns the owner of a file or folder.
pub fn owner(path: &Path) -> Result<Owner> {
    let meta = fs::metadata(path)?;
    Ok(Owner { uid: meta.uid(), gid: meta.gid() })
}

/// Gives a path to `owner`, where this account may do so and it is not the owner's already.
pub fn give_to(path: &Path, owner: Owner) -> Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if (meta.uid(), meta.gid()) != (owner.uid, owner.gid) && nix::unistd::geteuid().is_root() {
        std::os::unix::fs::lchown(path, Some(owner.uid), Some(owner.gid))
            .with_context(|| format!("cannot change the owner of {}", path.display()))?;
    }
    Ok(())
}

/// The mode bits of a file.
pub fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

/// Where [`write_atomic`] writes what is to become `path`; a killed run may leave it behind.
#[must_use]
pub fn temporary_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.pmp-ha-new"))
}

/// Replaces a file as a whole: readers see the old text or the new one, a crash leaves one of
/// them. The new file has `mode` and the owner of `like`.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32, like: Option<Owner>) -> Result<()> {
    let temporary = temporary_of(path);
    let written = (|| -> Result<()> {
        let mut file = private_file(&temporary)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        if let Some(owner) = like {
            give_to(&temporary, owner)?;
        }
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        Ok(())
    })();
    if written.is_err() {
        // ignored: the write failed already, and a leftover is overwritten by the next one
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_dir(path.parent().unwrap_or(Path::new("/")))
}

/// Makes the names in a folder durable.
pub fn sync_dir(path: &Path) -> Result<()> {
    fs::File::open(path)?.sync_all()?;
    Ok(())
}

/// Exchanges two paths of one filesystem in one step, or says that the filesystem cannot.
pub fn exchange(a: &Path, b: &Path) -> Result<bool> {
    match nix::fcntl::renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::EINVAL | Errno::ENOSYS) => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("cannot exchange {} and {}", a.display(), b.display()))
        }
    }
}

/// Device and inode of a path.
pub fn identity(path: &Path) -> Result<(u64, u64)> {
    let meta = fs::metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// Bytes that this account can still write below `path`; as many as there are numbers, where the
/// filesystem keeps no count.
pub fn free_space(path: &Path) -> Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)
        .with_context(|| format!("cannot ask for the free space of {}", path.display()))?;
    // A filesystem has some size, or says nothing.
    if stat.blocks() == 0 {
        return Ok(u64::MAX);
    }
    Ok(stat.blocks_available() * stat.fragment_size())
}

/// Tells whether this account can make files in the folder.
#[must_use]
pub fn is_writable_dir(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK).is_ok()
}

/// Tells whether this account can read the file.
#[must_use]
pub fn is_readable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::R_OK).is_ok()
}

/// Tells whether an address belongs to this machine.
#[must_use]
pub fn is_local_address(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// The account of the operating system that runs this, for the journal.
#[must_use]
pub fn user_name() -> String {
    let uid = nix::unistd::getuid();
    nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// Holds a folder's lock for as long as it lives, so that two runs never meet.
#[derive(Debug)]
pub struct DirLock {
    _lock: Flock<std::fs::File>,
}

/// Takes the lock on a folder.
pub fn lock_dir(path: &Path) -> Result<DirLock> {
    let dir = fs::File::open(path)?.into_parts().0;
    match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(DirLock { _lock: lock }),
        Err((_, Errno::EWOULDBLOCK)) => bail!(
            crate::failure::Failure::new(
                crate::failure::Kind::Refused,
                "another pmp-ha is at work on this home"
            )
            .because(format!("it holds the lock on {}", path.display()))
            .hint("Wait until it has ended.")
        ),
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Opens a file that only its owner can read and write, made if it is not there, and waits for its
/// lock, which is held until the handle goes.
pub fn lock_private_file(path: &Path) -> Result<Flock<std::fs::File>> {
    let mut options = fs::OpenOptions::new();
    options.options_mut().mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?.into_parts().0;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .with_context(|| format!("cannot lock {}", path.display()))
}

/// Follows the service script's link to the home that it belongs to.
#[must_use]
pub fn home_of_service() -> Option<PathBuf> {
    let script = fs::canonicalize(SERVICE_LINK).ok()?;
    Some(script.parent()?.parent()?.to_path_buf())
}

/// Makes a symbolic link.
pub fn link(to: &Path, at: &Path) -> Result<()> {
    Ok(fs::os::unix::fs::symlink(to, at)?)
}

/// Makes a file that a shell can run, readable for nobody else.
pub fn write_script(path: &Path, text: &str, like: Option<Owner>) -> Result<()> {
    write_atomic(path, text.as_bytes(), 0o700, like)
}
