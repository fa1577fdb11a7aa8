#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* ---- MAC ---- */

int parse_mac(struct span span, struct mac *out)
{
    struct mac mac = {0};
    size_t count = (span.length + 1) / 3, one;
    if (span.length % 3 != 2)
        return -EINVAL;
    if (count > MAC_MAX)
        return -ERANGE;
    for (size_t i = 0; i < count; i++) {
        const struct span pair = {span.data + 3 * i, 2};
        if (parse_hex(pair, &mac.bytes[i], 1, &one) < 0 || (i > 0 && span.data[3 * i - 1] != ':'))
            return -EINVAL;
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
        text_put_hex(text, &mac->bytes[i], 1);
    }
}

bool mac_equal(const struct mac *one, const struct mac *other)
{
    return one->length == other->length && memcmp(one->bytes, other->bytes, one->length) == 0;
}

/* ---- IP ---- */

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

bool ip_is_unspecified(const struct ip *ip)
{
    static const uint8_t zeros[16];

    return memcmp(ip->bytes, zeros, sizeof zeros) == 0;
}

bool ip_is_multicast(const struct ip *ip)
{
    return ip->family == AF_INET ? ip->bytes[0] >> 4 == 0xe : ip->bytes[0] == 0xff;
}

/* ---- PCI ---- */

/* One byte of an address against its shape: x a hex digit, 1 and 7 one up to that, else itself. */
static bool fits(char byte, char shape)
{
    if (shape == 'x')
        return hex_digit(byte) >= 0;
    if (shape == '1' || shape == '7')
        return byte >= '0' && byte <= shape;
    return byte == shape;
}

/* What follows the domain, which alone has a varying length: ":03:00.1". */
static bool is_pci_tail(const char *tail)
{
    static const char shape[] = ":xx:1x.7"; /* a bus has 32 slots, a slot 8 functions */
    for (size_t i = 0; i < sizeof shape - 1; i++)
        if (!fits(tail[i], shape[i]))
            return false;
    return true;
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
