/* The disk of a machine whose power fails, for one program: preloaded into it, this keeps apart what the program has made
 * durable of the folder $POWER_LIVE, and nothing else. The program itself works on the folder as always; when it is killed,
 * $POWER_DISK is what a strict disk would have:
 *
 *   data/INODE   the content of a file when it was last synced
 *   names/PATH   the entries of a directory when it was last synced: "d NAME" or "f INODE NAME" a line
 *   pin/INODE    a second name of each file, so that no inode number is given twice
 *   begun        is there once the program itself runs; before that nothing has changed
 *
 * What is there when the program begins is on the disk. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *live, *disk;

static void fail(const char *what)
{
    fprintf(stderr, "power: %s: %s\n", what, strerror(errno));
    _exit(70);
}

__attribute__((format(printf, 2, 3))) static void path_of(char *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(out, PATH_MAX, format, arguments) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        fail("path");
    }
    va_end(arguments);
}

/* What an open file is called now, relative to the folder; NULL outside of it. */
static const char *inside(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return NULL;
    path[length] = 0;
    size_t prefix = strlen(live);
    if (strncmp(path, live, prefix) != 0 || (path[prefix] != '/' && path[prefix] != 0))
        return NULL;
    return path[prefix] ? path + prefix + 1 : path + prefix;
}

/* Gives the file a second name and returns its inode; 0 if it has no name any more. */
static ino_t pin(int directory, const char *name, int flags)
{
    char fresh[PATH_MAX], kept[PATH_MAX];
    struct stat found;
    path_of(fresh, "%s/pin/new.%d", disk, gettid());
    if (linkat(directory, name, AT_FDCWD, fresh, flags) != 0) {
        if (errno == ENOENT)
            return 0;
        fail("linkat");
    }
    if (stat(fresh, &found) != 0)
        fail("stat");
    path_of(kept, "%s/pin/%lu", disk, (unsigned long)found.st_ino);
    /* Between two names of one file, rename does nothing. */
    if (rename(fresh, kept) != 0 || (unlink(fresh) != 0 && errno != ENOENT))
        fail("pin");
    return found.st_ino;
}

static void keep_file(int fd)
{
    char self[64], fresh[PATH_MAX], kept[PATH_MAX], block[65536];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ino_t inode = pin(AT_FDCWD, self, AT_SYMLINK_FOLLOW);
    if (inode == 0)
        return;
    path_of(fresh, "%s/data/new.%d", disk, gettid());
    path_of(kept, "%s/data/%lu", disk, (unsigned long)inode);
    int from = open(self, O_RDONLY | O_CLOEXEC);
    int to = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (from < 0 || to < 0)
        fail("open");
    ssize_t length;
    while ((length = read(from, block, sizeof block)) > 0)
        if (write(to, block, length) != length)
            fail("write");
    if (length < 0 || close(to) != 0 || close(from) != 0 || rename(fresh, kept) != 0)
        fail("copy");
}

static void keep_names(int fd, const char *path)
{
    char fresh[PATH_MAX], kept[PATH_MAX], flat[PATH_MAX];
    path_of(flat, "%s", *path ? path : "%");
    for (char *at = flat; *at; at++)
        if (*at == '/')
            *at = '%';
    path_of(fresh, "%s/names/new.%d", disk, gettid());
    path_of(kept, "%s/names/%s", disk, flat);
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = again < 0 ? NULL : fdopendir(again);
    FILE *list = fopen(fresh, "we");
    if (!directory || !list)
        fail("directory");
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        struct stat found;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(found.st_mode)) {
            fprintf(list, "d %s\n", entry->d_name);
        } else {
            ino_t inode = pin(fd, entry->d_name, 0);
            if (inode != 0)
                fprintf(list, "f %lu %s\n", (unsigned long)inode, entry->d_name);
        }
    }
    if (closedir(directory) != 0 || fclose(list) != 0 || rename(fresh, kept) != 0)
        fail("names");
}

static int sync_one(int fd, const char *real)
{
    char path[PATH_MAX];
    struct stat found;
    const char *name = live && disk ? inside(fd, path) : NULL;
    if (!name)
        return ((int (*)(int))dlsym(RTLD_NEXT, real))(fd);
    if (fstat(fd, &found) != 0)
        return -1;
    if (S_ISDIR(found.st_mode))
        keep_names(fd, name);
    else
        keep_file(fd);
    return 0;
}

int fsync(int fd) { return sync_one(fd, "fsync"); }
int fdatasync(int fd) { return sync_one(fd, "fdatasync"); }

/* Everything below an open directory is on the disk. */
static void keep_all(int fd, const char *path)
{
    keep_names(fd, path);
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = again < 0 ? NULL : fdopendir(again);
    if (!directory)
        fail("directory");
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        char below[PATH_MAX];
        struct stat found;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int one = openat(fd, entry->d_name, O_RDONLY | O_CLOEXEC);
        if (one < 0 || fstat(one, &found) != 0)
            fail(entry->d_name);
        path_of(below, "%s%s%s", path, *path ? "/" : "", entry->d_name);
        if (S_ISDIR(found.st_mode))
            keep_all(one, below);
        else
            keep_file(one);
        close(one);
    }
    closedir(directory);
}

__attribute__((constructor)) static void begin(void)
{
    static const char *const folders[] = {"data", "names", "pin"};
    live = getenv("POWER_LIVE");
    disk = getenv("POWER_DISK");
    if (!live || !disk)
        return;
    for (unsigned n = 0; n < sizeof folders / sizeof *folders; n++) {
        char path[PATH_MAX];
        path_of(path, "%s/%s", disk, folders[n]);
        if (mkdir(path, 0700) != 0)
            fail(path);
    }
    int fd = open(live, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fail(live);
    keep_all(fd, "");
    close(fd);
    char begun[PATH_MAX];
    path_of(begun, "%s/begun", disk);
    if (mkdir(begun, 0700) != 0)
        fail(begun);
}
