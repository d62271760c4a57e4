/* Records, below one folder, every call that changes what a disk holds, in the order in which they took
 * effect, with the data; and what is said on stderr, so that promises stand between the calls.
 * Preloaded into the agent by the test of power losses. RECORDER_ROOT: the folder. RECORDER_LOG: the log.
 *
 * A record: u8 kind, u64 inode, u64 offset, u32 length each of path, second path and data, then those.
 * One lock is held around call and record: what is recorded is the order that the kernel saw. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static char root[PATH_MAX];
static size_t root_length;

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("RECORDER_ROOT"), *path = getenv("RECORDER_LOG");
    if (!folder || !path || !realpath(folder, root)) abort();
    root_length = strlen(root);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) abort();
}

static void put(const void *bytes, size_t length) {
    const char *rest = bytes;
    while (length > 0) {
        long written = syscall(SYS_write, log_fd, rest, length);
        if (written <= 0) abort();
        rest += written;
        length -= (size_t)written;
    }
}

static void record(char kind, uint64_t inode, uint64_t offset, const char *path, const char *second,
                   const void *data, size_t length) {
    uint32_t lengths[3] = {path ? strlen(path) : 0, second ? strlen(second) : 0, (uint32_t)length};
    unsigned char head[1 + 8 + 8 + 12];
    head[0] = (unsigned char)kind;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, lengths, 12);
    put(head, sizeof head);
    put(path, lengths[0]);
    put(second, lengths[1]);
    put(data, length);
}

static int is_below(const char *path) {
    return strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

/* The path of an open file, if it is below the folder. A removed one is called `... (deleted)`. */
static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* The full path of a name, without following a link at its end. */
static int resolve(int folder, const char *name, char *path) {
    char parent[PATH_MAX], base[PATH_MAX];
    if (name[0] == '/') snprintf(parent, sizeof parent, "%s", name);
    else {
        char at[PATH_MAX];
        if (folder == AT_FDCWD) {
            if (!getcwd(at, sizeof at)) return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, at, sizeof at - 1);
            if (length < 0) return 0;
            at[length] = 0;
        }
        if ((size_t)snprintf(parent, sizeof parent, "%s/%s", at, name) >= sizeof parent) return 0;
    }
    char *slash = strrchr(parent, '/');
    snprintf(base, sizeof base, "%s", slash + 1);
    slash[slash == parent ? 1 : 0] = 0;
    char real[PATH_MAX];
    if (!realpath(parent, real)) return 0;
    if ((size_t)snprintf(path, PATH_MAX, "%s/%s", real, base) >= PATH_MAX) return 0;
    return is_below(path);
}

static uint64_t inode_of(int fd) {
    struct stat stat;
    return fstat(fd, &stat) == 0 ? stat.st_ino : 0;
}

static void locked(void) { pthread_mutex_lock(&lock); }

static void unlocked(void) {
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
}

static int open_any(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int changes = flags & (O_CREAT | O_TRUNC);
    if (!changes || !resolve(folder, name, path)) return (int)syscall(SYS_openat, folder, name, flags, mode);
    locked();
    struct stat stat;
    int was_there = lstat(path, &stat) == 0;
    int fd = (int)syscall(SYS_openat, folder, name, flags, mode);
    if (fd >= 0) {
        if (!was_there) record('C', inode_of(fd), 0, path, 0, 0, 0);
        else if (flags & O_TRUNC) record('T', inode_of(fd), 0, path, 0, 0, 0);
    }
    unlocked();
    return fd;
}

#define OPEN(name)                                                                                      \
    int name(const char *path, int flags, ...) {                                                        \
        va_list rest;                                                                                   \
        va_start(rest, flags);                                                                          \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                         \
        va_end(rest);                                                                                   \
        return open_any(AT_FDCWD, path, flags, mode);                                                   \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                    \
    int name(int folder, const char *path, int flags, ...) {                                            \
        va_list rest;                                                                                   \
        va_start(rest, flags);                                                                          \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                         \
        va_end(rest);                                                                                   \
        return open_any(folder, path, flags, mode);                                                     \
    }
OPENAT(openat)
OPENAT(openat64)

int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* Where the next write of this file goes. */
static off_t position(int fd) {
    if (fcntl(fd, F_GETFL) & O_APPEND) return lseek(fd, 0, SEEK_END);
    return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t length) {
    char path[PATH_MAX];
    if (fd == 2) {
        locked();
        ssize_t written = syscall(SYS_write, fd, data, length);
        record('O', 0, 0, 0, 0, data, length);
        unlocked();
        return written;
    }
    if (!path_of(fd, path)) return syscall(SYS_write, fd, data, length);
    locked();
    off_t offset = position(fd);
    ssize_t written = syscall(SYS_write, fd, data, length);
    if (written > 0) record('W', inode_of(fd), (uint64_t)offset, path, 0, data, (size_t)written);
    unlocked();
    return written;
}

static ssize_t pwrite_any(int fd, const void *data, size_t length, off_t offset) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return syscall(SYS_pwrite64, fd, data, length, offset);
    locked();
    ssize_t written = syscall(SYS_pwrite64, fd, data, length, offset);
    if (written > 0) record('W', inode_of(fd), (uint64_t)offset, path, 0, data, (size_t)written);
    unlocked();
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite_any(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return pwrite_any(fd, data, length, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (fd != 2 && !path_of(fd, path)) return syscall(SYS_writev, fd, parts, count);
    /* Piece by piece: a short write is allowed to happen anywhere. */
    ssize_t all = 0;
    for (int part = 0; part < count; part++) {
        ssize_t written = write(fd, parts[part].iov_base, parts[part].iov_len);
        if (written < 0) return all > 0 ? all : written;
        all += written;
        if ((size_t)written < parts[part].iov_len) break;
    }
    return all;
}

static int truncate_any(int fd, off_t length) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return (int)syscall(SYS_ftruncate, fd, length);
    locked();
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (done == 0) record('T', inode_of(fd), (uint64_t)length, path, 0, 0, 0);
    unlocked();
    return done;
}

int ftruncate(int fd, off_t length) { return truncate_any(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncate_any(fd, length); }

static int sync_any(int fd, long call, char kind) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return (int)syscall(call, fd);
    locked();
    int done = (int)syscall(call, fd);
    if (done == 0) record(kind, inode_of(fd), 0, path, 0, 0, 0);
    unlocked();
    return done;
}

int fsync(int fd) { return sync_any(fd, SYS_fsync, 'S'); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync, 'S'); }
int syncfs(int fd) { return sync_any(fd, SYS_syncfs, 'Y'); }

static int rename_any(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char old[PATH_MAX], new[PATH_MAX];
    int is_ours = resolve(from_folder, from, old);
    is_ours |= resolve(to_folder, to, new);
    if (!is_ours) return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    locked();
    int done = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    if (done == 0) record(flags ? 'X' : 'R', 0, 0, old, new, 0, 0);
    unlocked();
    return done;
}

int rename(const char *from, const char *to) { return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return rename_any(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    return rename_any(a, from, b, to, flags);
}

static int name_any(char kind, int folder, const char *name, long call, long argument) {
    char path[PATH_MAX];
    if (!resolve(folder, name, path)) return (int)syscall(call, folder, name, argument);
    locked();
    int done = (int)syscall(call, folder, name, argument);
    if (done == 0) record(kind, 0, 0, path, 0, 0, 0);
    unlocked();
    return done;
}

int unlink(const char *path) { return name_any('U', AT_FDCWD, path, SYS_unlinkat, 0); }
int unlinkat(int folder, const char *path, int flags) { return name_any('U', folder, path, SYS_unlinkat, flags); }
int rmdir(const char *path) { return name_any('U', AT_FDCWD, path, SYS_unlinkat, AT_REMOVEDIR); }
int remove(const char *path) {
    int done = unlink(path);
    return done != 0 && errno == EISDIR ? rmdir(path) : done;
}
int mkdir(const char *path, mode_t mode) { return name_any('M', AT_FDCWD, path, SYS_mkdirat, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return name_any('M', folder, path, SYS_mkdirat, mode); }

/* What the replay does not know must not go by unseen. */
static void unknown(const char *call, int fd) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return;
    locked();
    record('X', 0, 0, path, call, 0, 0);
    unlocked();
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
    unknown("fallocate", fd);
    return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return fallocate(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) { return fallocate(fd, 0, offset, length) ? errno : 0; }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }

ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t length, unsigned flags) {
    unknown("copy_file_range", to);
    return syscall(SYS_copy_file_range, from, a, to, b, length, flags);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t length) {
    unknown("sendfile", to);
    return syscall(SYS_sendfile, to, from, offset, length);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t length) { return sendfile(to, from, offset, length); }

int linkat(int a, const char *from, int b, const char *to, int flags) {
    char path[PATH_MAX];
    int done = (int)syscall(SYS_linkat, a, from, b, to, flags);
    if (done == 0 && resolve(b, to, path)) {
        locked();
        record('X', 0, 0, path, "link", 0, 0);
        unlocked();
    }
    return done;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

/* A shared mapping may be written without a call. */
static void *map_any(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    char path[PATH_MAX];
    if (fd >= 0 && (flags & MAP_TYPE) != MAP_PRIVATE && (protection & PROT_WRITE) && path_of(fd, path)) {
        locked();
        record('P', inode_of(fd), 0, path, 0, 0, 0);
        unlocked();
    }
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    return map_any(at, length, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    return map_any(at, length, protection, flags, fd, offset);
}
