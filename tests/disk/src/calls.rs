//! The functions of libc that change files. The linker takes these instead, for every caller in the program.
//!
//! They go to the kernel by themselves (`rustix` does not use libc on Linux) and report errors as libc would.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::BorrowedFd;
use std::slice;

use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

use crate::disk::{self, Call, Verdict};

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

type Done<T> = Result<T, Errno>;

/// What a function of libc returns: the result, or -1 and the reason in `errno`.
fn answer(done: Done<isize>) -> isize {
    done.unwrap_or_else(|errno| {
        // SAFETY: libc gives the calling thread a valid place for its errno, which nobody else uses.
        unsafe { *__errno_location() = errno.raw_os_error() };
        -1
    })
}

fn answer_status(done: Done<()>) -> c_int {
    // 0 or -1.
    answer(done.map(|()| 0)) as c_int
}

/// The file of a number that a caller of libc gives.
fn open<T>(fd: c_int, work: impl FnOnce(BorrowedFd<'_>) -> Done<T>) -> Done<T> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: it is not -1. Whether it is open for the time of the call is the caller's business, as in libc; the kernel
    // says so if it is not.
    work(unsafe { BorrowedFd::borrow_raw(fd) })
}

fn write_at(fd: BorrowedFd<'_>, at: Option<u64>, bytes: &[u8]) -> Done<isize> {
    let put = |bytes: &[u8]| match at {
        Some(at) => rustix::io::pwrite(fd, bytes, at),
        None => rustix::io::write(fd, bytes),
    };
    let watched = disk::of_file(fd);
    let Some((disk, file)) = watched else {
        return put(bytes).map(usize::cast_signed);
    };
    let offset = match at {
        Some(at) => at,
        None if rustix::fs::fcntl_getfl(fd)?.contains(OFlags::APPEND) => {
            rustix::fs::fstat(fd)?.st_size.cast_unsigned()
        }
        None => rustix::fs::seek(fd, SeekFrom::Current(0))?,
    };
    match disk.judge(&Call::Write(bytes)) {
        Verdict::Go => {}
        Verdict::Refuse(errno) => return Err(errno),
        Verdict::Die(part) => {
            let _ = put(part);
            disk::die();
        }
    }
    let written = put(bytes)?;
    disk.wrote(file, offset, bytes.get(..written).unwrap_or(bytes));
    Ok(written.cast_signed())
}

fn resize(fd: BorrowedFd<'_>, len: u64) -> Done<()> {
    if let Some((disk, file)) = disk::of_file(fd) {
        disk.obey(&Call::Resize)?;
        rustix::fs::ftruncate(fd, len)?;
        disk.resized(file, len);
        Ok(())
    } else {
        rustix::fs::ftruncate(fd, len)
    }
}

fn sync(fd: BorrowedFd<'_>) -> Done<()> {
    if let Some((disk, file)) = disk::of_file(fd) {
        disk.obey(&Call::Sync)?;
        disk.synced(file);
        Ok(())
    } else if let Some(disk) = disk::of_folder(fd) {
        disk.obey(&Call::Sync)?;
        disk.synced_folder();
        Ok(())
    } else {
        rustix::fs::fsync(fd)
    }
}

/// # Safety
/// As of libc: `bytes` are `len` bytes that nobody writes to meanwhile.
unsafe fn put(fd: c_int, at: Option<i64>, bytes: *const c_void, len: usize) -> isize {
    if bytes.is_null() {
        return answer(Err(Errno::FAULT));
    }
    // SAFETY: promised by the caller.
    let bytes = unsafe { slice::from_raw_parts(bytes.cast(), len) };
    let at = at.map(u64::try_from).transpose();
    answer(
        at.map_err(|_| Errno::INVAL)
            .and_then(|at| open(fd, |fd| write_at(fd, at, bytes))),
    )
}

/// # Safety
/// As of libc: `path` ends with a zero.
unsafe fn text<'p>(path: *const c_char) -> Done<&'p CStr> {
    if path.is_null() {
        return Err(Errno::FAULT);
    }
    // SAFETY: promised by the caller; it is used only while the call goes on.
    Ok(unsafe { CStr::from_ptr(path) })
}

/// # Safety
/// As [`write(2)`](https://man7.org/linux/man-pages/man2/write.2.html).
#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, len: usize) -> isize {
    // SAFETY: promised by the caller.
    unsafe { put(fd, None, bytes, len) }
}

/// # Safety
/// As [`pwrite(2)`](https://man7.org/linux/man-pages/man2/pwrite.2.html).
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(fd: c_int, bytes: *const c_void, len: usize, at: i64) -> isize {
    // SAFETY: promised by the caller.
    unsafe { put(fd, Some(at), bytes, len) }
}

/// # Safety
/// As `pwrite`.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(fd: c_int, bytes: *const c_void, len: usize, at: i64) -> isize {
    // SAFETY: promised by the caller.
    unsafe { put(fd, Some(at), bytes, len) }
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(fd: c_int, len: i64) -> c_int {
    let len = u64::try_from(len).map_err(|_| Errno::INVAL);
    answer_status(len.and_then(|len| open(fd, |fd| resize(fd, len))))
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(fd: c_int, len: i64) -> c_int {
    ftruncate(fd, len)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    answer_status(open(fd, sync))
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    answer_status(open(fd, sync))
}

/// # Safety
/// As [`unlink(2)`](https://man7.org/linux/man-pages/man2/unlink.2.html).
#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: promised by the caller.
    answer_status(unsafe { text(path) }.and_then(|path| {
        let watched = disk::of_path(path);
        if let Some((disk, _)) = &watched {
            disk.obey(&Call::Unlink)?;
        }
        rustix::fs::unlink(path)?;
        if let Some((disk, name)) = watched {
            disk.unlinked(name);
        }
        Ok(())
    }))
}

/// # Safety
/// As [`rename(2)`](https://man7.org/linux/man-pages/man2/rename.2.html).
#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: promised by the caller.
    let paths = unsafe { (text(from), text(to)) };
    answer_status(paths.0.and_then(|from| {
        let to = paths.1?;
        let watched = disk::of_path(from).zip(disk::of_path(to));
        if let Some(((disk, _), _)) = &watched {
            disk.obey(&Call::Rename)?;
        }
        rustix::fs::rename(from, to)?;
        if let Some(((disk, from), (_, to))) = watched {
            disk.renamed(from, to);
        }
        Ok(())
    }))
}
