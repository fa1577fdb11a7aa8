/* What is written is read back as it was, and what is read can be written. */
#include <string.h>

#include "address.h"
#include "fuzz.h"
#include "names.h"
#include "text.h"

#define ROOM 8192

static char buffer[ROOM];
static char back[ROOM];

static struct text empty(size_t size)
{
    struct text text;

    text_init(&text, buffer, size);
    return text;
}

static struct span written(const struct text *text)
{
    MUST(text->length < text->size && strlen(text->data) == text->length);
    return (struct span){text->data, text->length};
}

/* An escaped value without NUL survives, and fits in one line. */
static void check_escapes(struct span value)
{
    struct text text = empty(sizeof buffer);
    bool whole = memchr(value.data, '\0', value.length) == NULL;

    text_put_escaped(&text, value);
    MUST(!text.cut && !memchr(buffer, '\n', text.length));
    MUST(text_unescape(written(&text), back, sizeof back) == 0 ? whole : !whole);
    MUST(!whole || span_is(value, back));
    text = empty(sizeof buffer);
    text_put_word(&text, value);
    MUST(!memchr(buffer, ' ', text.length) && !memchr(buffer, '/', text.length));
    if (whole && value.length > 0)
        MUST(text_unescape(written(&text), back, sizeof back) == 0 && span_is(value, back));
    text = empty(1 + value.length / 2);
    text_put_quoted(&text, value);
    written(&text);
}

/* What unescapes has one canonical spelling. */
static void check_unescape(struct span value)
{
    struct text text = empty(sizeof buffer);

    if (text_unescape(value, back, sizeof back) < 0)
        return;
    MUST(strlen(back) <= value.length);
    text_put_escaped(&text, span_of(back));
    MUST(text_unescape(written(&text), back, sizeof back) == 0);
}

static void check_addresses(struct span value)
{
    struct text text = empty(sizeof buffer);
    struct mac mac, again;
    struct ip ip, same;
    char pci[PCI_ADDRESS_SIZE];

    if (parse_mac(value, &mac) == 0) {
        text_put_mac(&text, &mac);
        MUST(parse_mac(written(&text), &again) == 0 && mac_equal(&mac, &again));
    }
    text = empty(sizeof buffer);
    if (parse_ip(value, &ip) == 0) {
        text_put_ip(&text, &ip);
        MUST(parse_ip(written(&text), &same) == 0 && memcmp(&ip, &same, sizeof ip) == 0);
    }
    if (parse_cidr(value, &ip) == 0)
        MUST(ip.prefix <= 8 * ip_size(&ip));
    if (parse_pci(value, pci) == 0)
        MUST(strlen(pci) == value.length);
}

static void check_numbers(struct span value)
{
    struct text text = empty(sizeof buffer);
    uint8_t bytes[64];
    uint64_t number;
    size_t length;

    if (parse_unsigned(value, UINT64_MAX, &number) == 0) {
        text_put_unsigned(&text, number);
        MUST(written(&text).length == value.length && span_is(value, buffer));
    }
    text = empty(sizeof buffer);
    if (parse_hex(value, bytes, sizeof bytes, &length) == 0) {
        text_put_hex(&text, bytes, length);
        MUST(written(&text).length == value.length);
    }
}

static void check_names(struct span value)
{
    bool nul = memchr(value.data, '\0', value.length) != NULL;

    MUST(!nul || (!is_device_name(value) && !is_link_name(value) && !is_container_id(value)));
    MUST(!is_device_name(value) || is_container_id(value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span value = {(const char *)data, size};

    if (size > ROOM / 4 - 1)
        return 0;
    check_escapes(value);
    check_unescape(value);
    check_addresses(value);
    check_numbers(value);
    check_names(value);
    return 0;
}
