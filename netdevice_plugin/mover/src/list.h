#ifndef NDM_LIST_H
#define NDM_LIST_H

#include <stddef.h>
#include <stdint.h>

/*
 * A list of byte strings in a buffer that somebody else owns, in the order in
 * which they were added. The buffer's size is the list's bound.
 */
struct list {
    unsigned char *buffer;
    size_t size;
    size_t used;
    size_t count;
};

struct item {
    const void *data; /* aligned to 8; NULL behind the last */
    size_t size;
};

void list_init(struct list *list, void *buffer, size_t size);
void list_clear(struct list *list);
/* Keeps the first `count`. */
void list_cut(struct list *list, size_t count);
/* -ENOBUFS when it does not fit any more. */
int list_add(struct list *list, const void *data, size_t size);
struct item list_first(const struct list *list);
struct item list_next(const struct list *list, struct item item);
/* The nth from 0, found by walking. */
struct item list_at(const struct list *list, size_t n);

#define LIST_EACH(each, list) \
    for (struct item each = list_first(list); each.data != NULL; each = list_next(list, each))

#endif
