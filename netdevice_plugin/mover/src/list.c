#include "list.h"

#include <errno.h>
#include <string.h>

#define HEADER 8 /* the length, padded so that what follows is aligned */
#define PADDED(n) (((n) + 7) & ~(size_t)7)

void list_init(struct list *list, void *buffer, size_t size)
{
    *list = (struct list){.buffer = buffer, .size = size};
}

void list_clear(struct list *list)
{
    list->used = 0;
    list->count = 0;
}

int list_add(struct list *list, const void *data, size_t size)
{
    uint64_t length = size;

    if (size > list->size || HEADER + PADDED(size) > list->size - list->used)
        return -ENOBUFS;
    memcpy(list->buffer + list->used, &length, HEADER);
    if (size > 0)
        memcpy(list->buffer + list->used + HEADER, data, size);
    list->used += HEADER + PADDED(size);
    list->count++;
    return 0;
}

static struct item item_at(const struct list *list, size_t offset)
{
    uint64_t length;

    if (offset >= list->used)
        return (struct item){0};
    memcpy(&length, list->buffer + offset, HEADER);
    return (struct item){list->buffer + offset + HEADER, (size_t)length};
}

struct item list_first(const struct list *list)
{
    return item_at(list, 0);
}

struct item list_next(const struct list *list, struct item item)
{
    size_t offset = (size_t)((const unsigned char *)item.data - list->buffer);

    return item_at(list, offset + PADDED(item.size));
}

struct item list_at(const struct list *list, size_t n)
{
    struct item item = list_first(list);

    while (n-- > 0 && item.data != NULL)
        item = list_next(list, item);
    return item;
}

void list_cut(struct list *list, size_t count)
{
    struct item first = list_at(list, count);

    if (first.data == NULL)
        return;
    list->used = (size_t)((const unsigned char *)first.data - list->buffer) - HEADER;
    list->count = count;
}
