#ifndef NDM_FILES_H
#define NDM_FILES_H

#include <stddef.h>
#include <sys/types.h>

#include "text.h"

#define PATH_SIZE 1280 /* RUN_DIR_MAX and what we put below it */

/* DIRECTORY/PART/NAME in a buffer of PATH_SIZE. */
void path_join(char out[PATH_SIZE], const char *directory, const char *part, const char *name);

/* open(2) with O_CLOEXEC, and `mode` where it creates; the C library's own is of 270 bytes. */
int open_file(const char *path, int flags, unsigned mode);

/* mkdir -p with mode 0755. */
int make_directories(const char *path);

/* At most `size` bytes; the number read, or -errno; -EFBIG when there is more. */
ssize_t read_file(const char *path, char *buffer, size_t size);

/* Written whole with mode 0644: a temporary file in the same directory, then rename. */
int replace_file(const char *path, const char *data, size_t size);

/* Writes an existing file in place, as sysctls are set. */
int write_in_place(const char *path, const char *data, size_t size);

/* Removes a file that replace_file() writes, and what a killed writer left beside it. */
int remove_replaced(const char *path);
int remove_file(const char *path); /* 0 as well if it is not there */

#endif
