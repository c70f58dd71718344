/* Makes the calls that change files fail, or kills the process at them, one chosen call at a time.
 *
 * Preloaded before libc. Calls on files whose name holds FAULTS_NAME are counted; faults_arm chooses what happens at
 * which of them. Everything else goes straight through. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { NOTHING, KILL_BEFORE, KILL_AFTER, FAIL };

static int kind, code, for_ever;
static long chosen, count;
static const char *marker;

void faults_arm(int what, long call, int error, int always) {
    kind = what;
    chosen = call;
    code = error;
    for_ever = always;
    count = 0;
    marker = getenv("FAULTS_NAME");
}

long faults_counted(void) { return __atomic_load_n(&count, __ATOMIC_SEQ_CST); }

static int named(const char *path) { return marker && path && strstr(path, marker); }

static int of_file(int file) {
    char link[64], path[4096];
    if (!marker) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return named(path);
}

/* Whether this call fails; kills the process if that is what happens before it. */
static int strikes(long *number) {
    *number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (kind == KILL_BEFORE && *number == chosen) kill(getpid(), SIGKILL);
    if (kind == FAIL && (*number == chosen || (for_ever && *number > chosen))) {
        errno = code;
        return 1;
    }
    return 0;
}

static void strikes_after(long number) {
    if (kind == KILL_AFTER && number == chosen) kill(getpid(), SIGKILL);
}

#define WRAP(type, name, parameters, arguments, ours)                        \
    type name parameters {                                                   \
        static type(*next) parameters;                                       \
        if (!next) next = (type(*) parameters)dlsym(RTLD_NEXT, #name);       \
        if (!(ours)) return next arguments;                                  \
        long number;                                                         \
        if (strikes(&number)) return (type)-1;                               \
        const type result = next arguments;                                  \
        const int saved = errno;                                             \
        strikes_after(number);                                               \
        errno = saved;                                                       \
        return result;                                                       \
    }

WRAP(ssize_t, write, (int file, const void *data, size_t size), (file, data, size), of_file(file))
WRAP(ssize_t, pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at), of_file(file))
WRAP(ssize_t, pwrite64, (int file, const void *data, size_t size, off64_t at), (file, data, size, at), of_file(file))
WRAP(int, fsync, (int file), (file), of_file(file))
WRAP(int, fdatasync, (int file), (file), of_file(file))
WRAP(int, ftruncate, (int file, off_t size), (file, size), of_file(file))
WRAP(int, ftruncate64, (int file, off64_t size), (file, size), of_file(file))
WRAP(int, rename, (const char *from, const char *to), (from, to), named(from) || named(to))
WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), named(from) || named(to))
WRAP(int, link, (const char *from, const char *to), (from, to), named(from) || named(to))
WRAP(int, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags),
     named(from) || named(to))
WRAP(int, unlink, (const char *path), (path), named(path))
WRAP(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), named(path))

WRAP(int, fallocate, (int file, int mode, off_t at, off_t size), (file, mode, at, size), of_file(file))
WRAP(int, fallocate64, (int file, int mode, off64_t at, off64_t size), (file, mode, at, size), of_file(file))
