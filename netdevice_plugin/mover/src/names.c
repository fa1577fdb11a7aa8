#include "names.h"

static bool is_lower_or_digit(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

bool is_device_name(struct span span)
{
    if (span.length < 1 || span.length > 63)
        return false;
    for (size_t i = 0; i < span.length; i++) {
        bool edge = i == 0 || i == span.length - 1;
        if (!is_lower_or_digit(span.data[i]) && (edge || span.data[i] != '-'))
            return false;
    }
    return true;
}

static bool is_dots(struct span span)
{
    return span_is(span, ".") || span_is(span, "..");
}

/* isspace() of the kernel's own ctype table, which is Latin-1. */
static bool is_kernel_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r') || (uint8_t)byte == 0xa0;
}

bool is_link_name(struct span span)
{
    if (span.length < 1 || span.length > 15 || is_dots(span))
        return false;
    for (size_t i = 0; i < span.length; i++) {
        char byte = span.data[i];
        if (byte == '\0' || byte == '/' || byte == ':' || byte == '%' || is_kernel_space(byte))
            return false;
    }
    return true;
}

bool is_container_id(struct span span)
{
    if (span.length < 1 || span.length > 255 || is_dots(span))
        return false;
    for (size_t i = 0; i < span.length; i++)
        if (span.data[i] == '/' || is_control(span.data[i]))
            return false;
    return true;
}
