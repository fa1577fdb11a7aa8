#include "text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define QUOTED_MAX 64

/* ---- spans ---- */

struct span span_of(const char *string)
{
    return (struct span){string, strlen(string)};
}

bool span_is(struct span span, const char *string)
{
    return span.length == strlen(string) && memcmp(span.data, string, span.length) == 0;
}

struct span span_cut(struct span *rest, char separator, bool *found)
{
    const char *end = memchr(rest->data, separator, rest->length);
    struct span head = {rest->data, end ? (size_t)(end - rest->data) : rest->length};
    size_t taken = head.length + (end ? 1 : 0);
    *rest = (struct span){rest->data + taken, rest->length - taken};
    if (found)
        *found = end;
    return head;
}

struct span words_at(const char *words, size_t n)
{
    struct span rest = span_of(words), word = span_cut(&rest, ' ', NULL);

    while (n-- > 0 && word.length > 0)
        word = span_cut(&rest, ' ', NULL);
    return word;
}

int words_find(const char *words, struct span word)
{
    struct span rest = span_of(words);

    for (int i = 0; rest.length > 0; i++) {
        struct span one = span_cut(&rest, ' ', NULL);
        if (one.length == word.length && memcmp(one.data, word.data, one.length) == 0)
            return i;
    }
    return -1;
}

int span_copy(struct span span, char *out, size_t size)
{
    if (span.length >= size)
        return -ERANGE;
    if (memchr(span.data, '\0', span.length))
        return -EINVAL;
    memcpy(out, span.data, span.length);
    out[span.length] = '\0';
    return 0;
}

/* ---- writing ---- */

void text_init(struct text *text, char *buffer, size_t size)
{
    *text = (struct text){.data = buffer, .size = size};
    buffer[0] = '\0';
}

void text_put_span(struct text *text, struct span span)
{
    size_t room = text->cut ? 0 : text->size - text->length - 1;
    size_t taken = span.length < room ? span.length : room;
    memcpy(text->data + text->length, span.data, taken);
    text->length += taken;
    text->data[text->length] = '\0';
    text->cut = text->cut || taken < span.length;
}

void text_put_char(struct text *text, char byte)
{
    text_put_span(text, (struct span){&byte, 1});
}

void text_put(struct text *text, const char *string)
{
    text_put_span(text, span_of(string));
}

void text_put_unsigned(struct text *text, uint64_t number)
{
    char digits[20]; /* 2^64 has twenty */
    size_t first = sizeof digits;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    text_put_span(text, (struct span){digits + first, sizeof digits - first});
}

static void put_byte(struct text *text, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    text_put_char(text, digits[byte >> 4]);
    text_put_char(text, digits[byte & 15]);
}

void text_put_hex(struct text *text, const void *bytes, size_t length)
{
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < length; i++)
        put_byte(text, byte[i]);
}

static bool is_control(char byte)
{
    return (uint8_t)byte < 0x20 || byte == 0x7f;
}

static void put_escape(struct text *text, char byte)
{
    text_put(text, "\\x");
    put_byte(text, (uint8_t)byte);
}

static void put_escaping(struct text *text, struct span value, const char *also)
{
    for (size_t i = 0; i < value.length; i++) {
        char byte = value.data[i];
        if (is_control(byte) || memchr(also, byte, strlen(also)) != NULL)
            put_escape(text, byte);
        else
            text_put_char(text, byte);
    }
}

void text_put_escaped(struct text *text, struct span value)
{
    put_escaping(text, value, "\\");
}

void text_put_word(struct text *text, struct span word)
{
    if (word.length == 0)
        text_put_char(text, '-');
    else
        put_escaping(text, word, span_is(word, "-") ? "-" : "\\ /");
}

void text_put_quoted(struct text *text, struct span value)
{
    bool shorten = value.length > QUOTED_MAX;
    text_put_char(text, '\'');
    put_escaping(text, (struct span){value.data, shorten ? QUOTED_MAX : value.length}, "'\\");
    text_put(text, shorten ? "...'" : "'");
}

/* ---- numbers and bytes ---- */

int parse_unsigned(struct span span, uint64_t maximum, uint64_t *out)
{
    uint64_t number = 0;
    bool over = false;
    if (span.length == 0 || (span.length > 1 && span.data[0] == '0'))
        return -EINVAL;
    for (size_t i = 0; i < span.length; i++) {
        if (span.data[i] < '0' || span.data[i] > '9')
            return -EINVAL;
        uint64_t digit = (uint64_t)(span.data[i] - '0');
        over = over || digit > maximum || number > (maximum - digit) / 10;
        if (!over)
            number = number * 10 + digit;
    }
    if (over)
        return -ERANGE;
    *out = number;
    return 0;
}

static int hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* The two digits at `text` as a byte, or -1. */
static int hex_pair(const char *text)
{
    int high = hex_digit(text[0]);
    int low = hex_digit(text[1]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

int parse_hex(struct span span, uint8_t *out, size_t size, size_t *length)
{
    if (span.length % 2)
        return -EINVAL;
    if (span.length / 2 > size)
        return -ERANGE;
    for (size_t i = 0; i < span.length / 2; i++) {
        int byte = hex_pair(span.data + 2 * i);
        if (byte < 0)
            return -EINVAL;
        out[i] = (uint8_t)byte;
    }
    *length = span.length / 2;
    return 0;
}

/* One byte of a value, escaped or not, off its front; -EINVAL for what we never write. */
static int unescape_byte(struct span *rest)
{
    const char *text = rest->data;
    size_t taken = 1;
    int byte = (uint8_t)text[0];
    if (is_control(text[0]))
        return -EINVAL;
    if (text[0] == '\\') {
        taken = 4;
        if (rest->length < taken || text[1] != 'x')
            return -EINVAL;
        byte = hex_pair(text + 2);
    }
    *rest = (struct span){text + taken, rest->length - taken};
    return byte > 0 ? byte : -EINVAL;
}

int text_unescape(struct span value, char *out, size_t size)
{
    size_t length = 0;
    while (value.length > 0) {
        int byte = unescape_byte(&value);
        if (byte < 0)
            return byte;
        if (length >= size)
            return -ERANGE;
        out[length++] = (char)byte;
    }
    if (length >= size)
        return -ERANGE;
    out[length] = '\0';
    return 0;
}

/* ---- MAC, IP and PCI addresses ---- */

int parse_mac(struct span span, struct mac *out)
{
    struct mac mac = {0};
    size_t count = (span.length + 1) / 3;
    if (span.length % 3 != 2)
        return -EINVAL;
    if (count > MAC_MAX)
        return -ERANGE;
    for (size_t i = 0; i < count; i++) {
        int byte = hex_pair(span.data + 3 * i);
        if (byte < 0 || (i > 0 && span.data[3 * i - 1] != ':'))
            return -EINVAL;
        mac.bytes[i] = (uint8_t)byte;
    }
    mac.length = (uint8_t)count;
    *out = mac;
    return 0;
}

void text_put_mac(struct text *text, const struct mac *mac)
{
    for (size_t i = 0; i < mac->length; i++) {
        if (i > 0)
            text_put_char(text, ':');
        put_byte(text, mac->bytes[i]);
    }
}

bool mac_equal(const struct mac *one, const struct mac *other)
{
    return one->length == other->length && memcmp(one->bytes, other->bytes, one->length) == 0;
}

int parse_ip(struct span span, struct ip *out)
{
    char copy[INET6_ADDRSTRLEN];
    struct ip ip = {0};
    if (span_copy(span, copy, sizeof copy) < 0)
        return -EINVAL;
    ip.family = memchr(span.data, ':', span.length) != NULL ? AF_INET6 : AF_INET;
    if (inet_pton(ip.family, copy, ip.bytes) != 1)
        return -EINVAL;
    ip.prefix = (uint8_t)(8 * ip_size(&ip));
    *out = ip;
    return 0;
}

int parse_cidr(struct span span, struct ip *out)
{
    struct ip ip = {0};
    uint64_t prefix;
    bool found;
    int rc = parse_ip(span_cut(&span, '/', &found), &ip);
    if (rc < 0 || !found)
        return -EINVAL;
    rc = parse_unsigned(span, ip.prefix, &prefix);
    if (rc < 0)
        return rc;
    ip.prefix = (uint8_t)prefix;
    *out = ip;
    return 0;
}

size_t ip_size(const struct ip *ip)
{
    return ip->family == AF_INET ? 4 : ip->family == AF_INET6 ? 16 : 0;
}

bool ip_has_host_bits(const struct ip *ip)
{
    for (size_t bit = ip->prefix; bit < 8 * ip_size(ip); bit++)
        if (ip->bytes[bit / 8] & 0x80 >> bit % 8)
            return true;
    return false;
}

static void put_ipv4(struct text *text, const uint8_t *bytes)
{
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            text_put_char(text, '.');
        text_put_unsigned(text, bytes[i]);
    }
}

/* A group of 16 bits without its leading zeros. */
static void put_group(struct text *text, unsigned int group)
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned int shift = 16; shift > 0; shift -= 4)
        if (shift == 4 || group >> (shift - 4))
            text_put_char(text, digits[group >> (shift - 4) & 15]);
}

/* The first of the longest runs of zero groups; its length, 0 where "::" may not be used. */
static size_t longest_zeros(const unsigned int *groups, size_t *start)
{
    size_t best = 1; /* "::" never stands for one group */
    size_t run = 0;
    for (size_t i = 0; i < 8; i++) {
        run = groups[i] ? 0 : run + 1;
        if (run > best) {
            best = run;
            *start = i + 1 - run;
        }
    }
    return best > 1 ? best : 0;
}

static void put_ipv6(struct text *text, const uint8_t *bytes)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    unsigned int groups[8];
    size_t start = 8;
    if (memcmp(bytes, mapped, sizeof mapped) == 0) { /* RFC 5952, section 5 */
        text_put(text, "::ffff:");
        put_ipv4(text, bytes + sizeof mapped);
        return;
    }
    for (size_t i = 0; i < 8; i++)
        groups[i] = (unsigned int)(bytes[2 * i] << 8 | bytes[2 * i + 1]);
    size_t zeros = longest_zeros(groups, &start);
    for (size_t i = 0; i < 8; i++) {
        if (zeros > 0 && i == start) {
            text_put(text, "::");
            i += zeros - 1;
            continue;
        }
        if (i > 0 && i != start + zeros)
            text_put_char(text, ':');
        put_group(text, groups[i]);
    }
}

void text_put_ip(struct text *text, const struct ip *ip)
{
    if (ip->family == AF_INET)
        put_ipv4(text, ip->bytes);
    else if (ip->family == AF_INET6)
        put_ipv6(text, ip->bytes);
}

/* One byte of an address against its shape: x a hex digit, 7 an octal one, else itself. */
static bool fits(char byte, char shape)
{
    if (shape == 'x')
        return hex_digit(byte) >= 0;
    if (shape == '7')
        return byte >= '0' && byte <= '7';
    return byte == shape;
}

/* What follows the domain, which alone has a varying length: ":03:00.1". */
static bool is_pci_tail(const char *tail)
{
    static const char shape[] = ":xx:xx.7";
    for (size_t i = 0; i < sizeof shape - 1; i++)
        if (!fits(tail[i], shape[i]))
            return false;
    return hex_pair(tail + 4) < 32; /* a bus has 32 slots */
}

int parse_pci(struct span span, char out[PCI_ADDRESS_SIZE])
{
    const size_t tail = 8;
    if (span.length < 4 + tail || span.length > 8 + tail)
        return -EINVAL;
    if (span.length > 4 + tail && span.data[0] == '0')
        return -EINVAL; /* the kernel pads to four digits, no more */
    for (size_t i = 0; i < span.length - tail; i++)
        if (hex_digit(span.data[i]) < 0)
            return -EINVAL;
    if (!is_pci_tail(span.data + span.length - tail))
        return -EINVAL;
    for (size_t i = 0; i < span.length; i++) {
        char byte = span.data[i];
        out[i] = byte >= 'A' && byte <= 'F' ? (char)(byte - 'A' + 'a') : byte;
    }
    out[span.length] = '\0';
    return 0;
}

/* ---- names ---- */

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
