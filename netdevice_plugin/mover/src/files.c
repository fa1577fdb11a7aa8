/* Files: read whole, replaced whole. */

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "steps.h"

void path_join(char out[PATH_SIZE], const char *directory, const char *part, const char *name)
{
    struct text text;

    text_init(&text, out, PATH_SIZE);
    text_put(&text, directory);
    text_put_char(&text, '/');
    text_put(&text, part);
    if (name[0] != '\0')
        text_put_char(&text, '/');
    text_put(&text, name);
}

int make_directories(const char *path)
{
    char prefix[PATH_SIZE];
    size_t length = strlen(path);

    if (length >= sizeof prefix)
        return -ENAMETOOLONG;
    if (mkdir(path, 0755) == 0 || errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return -errno;
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(prefix, path, i);
        prefix[i] = '\0';
        if (mkdir(prefix, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

int open_file(const char *path, int flags, unsigned mode)
{
    long fd = syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);

    return fd < 0 ? -errno : (int)fd;
}

ssize_t read_file(const char *path, char *buffer, size_t size)
{
    size_t used = 0;
    ssize_t got = 1;
    int fd = open_file(path, O_RDONLY | O_NOFOLLOW, 0);

    if (fd < 0)
        return fd;
    while (used < size && got > 0) {
        got = read(fd, buffer + used, size - used);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            used += (size_t)got;
    }
    int rc = got < 0 ? -errno : 0;
    char more;
    if (rc == 0 && used == size && read(fd, &more, 1) > 0)
        rc = -EFBIG;
    close(fd);
    return rc < 0 ? rc : (ssize_t)used;
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, data, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        data += put;
        size -= (size_t)put;
    }
    return 0;
}

/* DIRECTORY/.NAME.new, beside what it is to replace. */
static void temporary_path(char out[PATH_SIZE], const char *path)
{
    struct text text;
    const char *name = strrchr(path, '/') + 1;

    text_init(&text, out, PATH_SIZE);
    text_put_span(&text, (struct span){path, (size_t)(name - path)});
    text_put_char(&text, '.');
    text_put(&text, name);
    text_put(&text, ".new");
}

int replace_file(const char *path, const char *data, size_t size)
{
    char temporary[PATH_SIZE];

    temporary_path(temporary, path);
    step("write");
    /* One that a killed mover left is ours by the device's lock: start over. */
    int fd = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return fd;
    step("written in part");
    int rc = write_all(fd, data, size);
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    step("written, not renamed");
    if (rc == 0 && rename(temporary, path) < 0)
        rc = -errno;
    if (rc < 0)
        unlink(temporary);
    step("renamed");
    return rc;
}

int write_in_place(const char *path, const char *data, size_t size)
{
    int fd = open_file(path, O_WRONLY, 0);

    if (fd < 0)
        return fd;
    step("sysctl");
    ssize_t put = write(fd, data, size);
    int rc = put < 0 ? -errno : 0;
    close(fd);
    return rc;
}

int remove_replaced(const char *path)
{
    char temporary[PATH_SIZE];

    temporary_path(temporary, path);
    unlink(temporary);
    return remove_file(path);
}

int remove_file(const char *path)
{
    step("unlink");
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}
