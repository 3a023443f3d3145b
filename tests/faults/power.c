/* Writes down what a database does to its files, so that faults/power.py can cut the power.
 *
 * Preloaded into all processes of a database (LD_PRELOAD). Each change below the folder POWER_FOLDER
 * goes to the shared file POWER_LOG, in the order in which it happened; so does each sync. The log
 * tells what a disk may hold if the power goes: what was synced, and any part of the rest.
 *
 * What this library does not see (a mapped file, stdio) never reaches that disk, so a call that is
 * missing here makes a trial fail; it cannot make one pass. For glibc on 64-bit Linux.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SYNC_MICROSECONDS 1000 /* A fast disk. While it works, others go on to write. */
#define HEADER 65536           /* Bytes before the first record. */
#define MARKS 32768

enum kind { CREATE = 1, FOLDER, WRITE, TRUNCATE, RENAME, LINK, REMOVE, SYNC };

struct log {
    _Atomic uint64_t end;             /* Bytes used, with the header. */
    _Atomic uint32_t is_off;          /* Set when the power goes: nobody does anything any more. */
    _Atomic uint32_t lock;
    _Atomic uint8_t is_dirty[MARKS];  /* By the hash of a path: something to sync. */
};

_Static_assert(sizeof(struct log) <= HEADER && sizeof(off_t) == 8, "power.py reads this layout");

struct record { /* Then come the path, the other path and the data. */
    uint32_t kind, path_size, other_size, data_size;
    uint64_t number; /* The offset of a write; a size; where the log ended when a sync began. */
};

static struct log *shared;
static uint64_t log_size;
static char root[PATH_MAX];
static size_t root_size;

/* The C library's own function. */
#define REAL(name)                                                            \
    (*({                                                                      \
        static __typeof__(&name) real;                                        \
        if (real == NULL)                                                     \
            real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                \
        real;                                                                 \
    }))

__attribute__((constructor)) static void begin(void)
{
    const char *folder = getenv("POWER_FOLDER"), *file = getenv("POWER_LOG");
    struct stat status;
    if (folder == NULL || file == NULL)
        return;
    int fd = REAL(open)(file, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        abort();
    void *memory = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        abort();
    close(fd);
    root_size = strlen(strcpy(root, folder));
    log_size = status.st_size;
    shared = memory;
}

/* Take the lock, with which a call and its record are one. Signal handlers wait, or they could ask for it too. */
static sigset_t enter(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (atomic_exchange(&shared->lock, 1)) {
        if (shared->is_off)
            pause();
        sched_yield();
    }
    while (shared->is_off)
        pause();
    return before;
}

static void leave(sigset_t before)
{
    atomic_store(&shared->lock, 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Say whether an absolute path is below the folder, and make it relative. */
static bool shorten(char *path)
{
    if (strncmp(path, root, root_size) != 0 || (path[root_size] != '/' && path[root_size] != 0))
        return false;
    char *rest = path + root_size + (path[root_size] == '/');
    memmove(path, rest, strlen(rest) + 1);
    return true;
}

/* Find the relative path of an open file; false outside of the folder, and for a removed file. */
static bool path_of(int fd, char *path)
{
    static const char removed[] = " (deleted)";
    char link[64];
    int saved = errno;
    if (shared == NULL)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    errno = saved;
    if (size < 0)
        return false;
    path[size] = 0;
    size_t end = sizeof removed - 1;
    return !((size_t)size > end && strcmp(path + size - end, removed) == 0) && shorten(path);
}

/* Find the relative path of a name, which need not exist; false outside of the folder. */
static bool place_of(int folder, const char *name, char *place)
{
    char whole[PATH_MAX * 2], base[NAME_MAX + 1];
    int saved = errno;
    if (shared == NULL || name == NULL || strlen(name) >= PATH_MAX)
        return false;
    if (name[0] == '/' || folder == AT_FDCWD)
        snprintf(whole, sizeof whole, "%s%s", name[0] == '/' ? "" : "./", name);
    else
        snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", folder, name);
    for (size_t size = strlen(whole); size > 1 && whole[size - 1] == '/'; size--)
        whole[size - 1] = 0;
    char *slash = strrchr(whole, '/');
    snprintf(base, sizeof base, "%s", slash + 1);
    slash[slash == whole] = 0;
    bool found = realpath(whole, place) != NULL && strlen(place) + strlen(base) + 2 < PATH_MAX;
    errno = saved;
    return found && shorten(strcat(strcat(place, "/"), base));
}

static _Atomic uint8_t *mark_of(const char *path, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t index = 0; index < size; index++)
        hash = (hash ^ (uint8_t)path[index]) * 16777619u;
    return &shared->is_dirty[hash % MARKS];
}

static void mark(enum kind kind, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (kind == WRITE || kind == TRUNCATE)
        *mark_of(path, strlen(path)) = 1;
    else
        *mark_of(path, slash == NULL ? 0 : (size_t)(slash - path)) = 1;
}

/* Add a record, under the lock; the data are the first bytes of *parts*. */
static void note(enum kind kind, const char *path, const char *other, uint64_t number,
                 const struct iovec *parts, size_t data_size)
{
    struct record record = {kind, strlen(path), strlen(other), data_size, number};
    uint64_t size = sizeof record + record.path_size + record.other_size + data_size;
    if (shared->end + size > log_size)
        abort();
    char *target = (char *)shared + shared->end;
    target = mempcpy(target, &record, sizeof record);
    target = mempcpy(target, path, record.path_size);
    target = mempcpy(target, other, record.other_size);
    for (size_t left = data_size; left > 0; parts++) {
        size_t some = parts->iov_len < left ? parts->iov_len : left;
        target = mempcpy(target, parts->iov_base, some);
        left -= some;
    }
    if (kind != SYNC)
        mark(kind, kind == RENAME || kind == LINK ? other : path);
    shared->end += size;
}

/* Files that appear or become empty when they are opened. */

static int open_file(int folder, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    struct stat status;
    if (!(flags & (O_CREAT | O_TRUNC)) || !place_of(folder, name, path))
        return REAL(openat)(folder, name, flags, mode);
    sigset_t before = enter();
    int saved = errno;
    bool existed = fstatat(folder, name, &status, 0) == 0;
    errno = saved;
    int fd = REAL(openat)(folder, name, flags, mode);
    if (fd >= 0 && !existed)
        note(CREATE, path, "", 0, NULL, 0);
    else if (fd >= 0 && flags & O_TRUNC)
        note(TRUNCATE, path, "", 0, NULL, 0);
    leave(before);
    return fd;
}

#define MODE_AFTER(flags, mode)                       \
    mode_t mode = 0;                                  \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                 \
        va_start(rest, flags);                        \
        mode = va_arg(rest, mode_t);                  \
        va_end(rest);                                 \
    }

int open(const char *name, int flags, ...)
{
    MODE_AFTER(flags, mode)
    return open_file(AT_FDCWD, name, flags, mode);
}

int openat(int folder, const char *name, int flags, ...)
{
    MODE_AFTER(flags, mode)
    return open_file(folder, name, flags, mode);
}

int creat(const char *name, mode_t mode)
{
    return open_file(AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int __open_2(const char *name, int flags) { return open_file(AT_FDCWD, name, flags, 0); }

int __openat_2(int folder, const char *name, int flags) { return open_file(folder, name, flags, 0); }

/* What is in files. */

#define WRITTEN(fd, call, offset, parts)                                      \
    char path[PATH_MAX];                                                      \
    if (!path_of(fd, path))                                                   \
        return call;                                                          \
    sigset_t before = enter();                                                \
    ssize_t result = call;                                                    \
    if (result > 0)                                                           \
        note(WRITE, path, "", offset, parts, result);                         \
    leave(before);                                                            \
    return result;

#define ONE(data, size) (&(struct iovec){(void *)(data), size})
#define POSITION(fd) (lseek(fd, 0, SEEK_CUR) - result)

ssize_t write(int fd, const void *data, size_t size)
{
    WRITTEN(fd, REAL(write)(fd, data, size), POSITION(fd), ONE(data, size))
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    WRITTEN(fd, REAL(pwrite)(fd, data, size, offset), offset, ONE(data, size))
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    WRITTEN(fd, REAL(writev)(fd, parts, count), POSITION(fd), parts)
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    WRITTEN(fd, REAL(pwritev)(fd, parts, count, offset), offset, parts)
}

ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    WRITTEN(fd, REAL(pwritev2)(fd, parts, count, offset, flags),
            offset < 0 ? POSITION(fd) : offset, parts)
}

/* The size of a file after a call that changes it. */
#define RESIZED(fd, call)                                                     \
    char path[PATH_MAX];                                                      \
    struct stat status;                                                       \
    if (!path_of(fd, path))                                                   \
        return call;                                                          \
    sigset_t before = enter();                                                \
    int result = call;                                                        \
    if (result == 0 && fstat(fd, &status) == 0)                               \
        note(TRUNCATE, path, "", status.st_size, NULL, 0);                    \
    leave(before);                                                            \
    return result;

int ftruncate(int fd, off_t size) { RESIZED(fd, REAL(ftruncate)(fd, size)) }

int posix_fallocate(int fd, off_t offset, off_t size)
{
    RESIZED(fd, REAL(posix_fallocate)(fd, offset, size))
}

int truncate(const char *name, off_t size)
{
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = ftruncate(fd, size), saved = errno;
    close(fd);
    errno = saved;
    return result;
}

/* Names. */

#define NAMED(kind, found, call)                                              \
    char path[PATH_MAX], other[PATH_MAX] = "";                                \
    if (!(found))                                                             \
        return call;                                                          \
    sigset_t before = enter();                                                \
    int result = call;                                                        \
    if (result == 0)                                                          \
        note(kind, path, other, 0, NULL, 0);                                  \
    leave(before);                                                            \
    return result;

int mkdirat(int folder, const char *name, mode_t mode)
{
    NAMED(FOLDER, place_of(folder, name, path), REAL(mkdirat)(folder, name, mode))
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

int unlinkat(int folder, const char *name, int flags)
{
    NAMED(REMOVE, place_of(folder, name, path), REAL(unlinkat)(folder, name, flags))
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int renameat2(int folder, const char *name, int to_folder, const char *to, unsigned int flags)
{
    NAMED(RENAME, place_of(folder, name, path) && place_of(to_folder, to, other),
          REAL(renameat2)(folder, name, to_folder, to, flags))
}

int renameat(int folder, const char *name, int to_folder, const char *to)
{
    return renameat2(folder, name, to_folder, to, 0);
}

int rename(const char *name, const char *to) { return renameat2(AT_FDCWD, name, AT_FDCWD, to, 0); }

int linkat(int folder, const char *name, int to_folder, const char *to, int flags)
{
    NAMED(LINK, place_of(folder, name, path) && place_of(to_folder, to, other),
          REAL(linkat)(folder, name, to_folder, to, flags))
}

int link(const char *name, const char *to) { return linkat(AT_FDCWD, name, AT_FDCWD, to, 0); }

/* Syncs. The kernel is not asked: the disk of a trial is the log. What is written while the disk works may be lost. */

static bool sync_file(int fd)
{
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return false;
    sigset_t before = enter();
    uint64_t until = shared->end;
    bool is_dirty = atomic_exchange(mark_of(path, strlen(path)), 0);
    leave(before);
    if (is_dirty)
        usleep(SYNC_MICROSECONDS);
    before = enter();
    note(SYNC, path, "", until, NULL, 0);
    leave(before);
    return true;
}

int fsync(int fd) { return sync_file(fd) ? 0 : REAL(fsync)(fd); }

int fdatasync(int fd) { return sync_file(fd) ? 0 : REAL(fdatasync)(fd); }

/* The names that glibc has for 64-bit offsets. */

#define ALSO(name, other) extern __typeof__(name) other __attribute__((alias(#name)));
ALSO(open, open64)
ALSO(openat, openat64)
ALSO(creat, creat64)
ALSO(__open_2, __open64_2)
ALSO(__openat_2, __openat64_2)
ALSO(pwrite, pwrite64)
ALSO(pwritev, pwritev64)
ALSO(pwritev2, pwritev64v2)
ALSO(ftruncate, ftruncate64)
ALSO(truncate, truncate64)
ALSO(posix_fallocate, posix_fallocate64)
