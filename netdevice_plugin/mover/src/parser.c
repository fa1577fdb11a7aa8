#include "parser.h"

#include <errno.h>
#include <string.h>

int parser_fail(struct parser *parser, const char *why)
{
    if (parser->option != NULL) {
        text_put(&parser->error, "--");
        text_put(&parser->error, parser->option);
        text_put(&parser->error, ": ");
    }
    text_put(&parser->error, why);
    return -EINVAL;
}

int parser_refuse(struct parser *parser, struct span value, const char *why)
{
    parser_fail(parser, "");
    text_put_quoted(&parser->error, value);
    text_put_char(&parser->error, ' ');
    text_put(&parser->error, why);
    return -EINVAL;
}

int parser_number(struct parser *parser, struct span value, uint32_t least, uint32_t most,
                  uint32_t *out)
{
    uint64_t number = 0;

    if (parse_unsigned(value, most, &number) == 0 && number >= least) {
        *out = (uint32_t)number;
        return 0;
    }
    parser_refuse(parser, value, "is not a number from ");
    text_put_unsigned(&parser->error, least);
    text_put(&parser->error, " to ");
    text_put_unsigned(&parser->error, most);
    return -EINVAL;
}

int parser_choose(struct parser *parser, struct span word, const char *words)
{
    int found = words_find(words, word);

    if (found >= 0)
        return found;
    parser_refuse(parser, word, "is none of ");
    for (; *words != '\0'; words++) {
        if (*words == ' ')
            text_put_char(&parser->error, ',');
        text_put_char(&parser->error, *words);
    }
    return -EINVAL;
}

int parser_mac(struct parser *parser, struct span value, struct mac *out)
{
    if (parse_mac(value, out) < 0)
        return parser_refuse(parser, value,
                             "is not a MAC address (as 02:00:00:00:00:01, at most 32 bytes)");
    return 0;
}

int parser_host_mac(struct parser *parser, struct span value, const struct mac *mac)
{
    static const uint8_t zeros[6];

    if (mac->length != sizeof zeros ||
        !(mac->bytes[0] & 1 || memcmp(mac->bytes, zeros, sizeof zeros) == 0))
        return 0;
    return parser_refuse(parser, value, "is not the address of one host (multicast or zero)");
}

/* ---- phrases ---- */

struct span span_word(struct span *rest)
{
    struct span word = {rest->data, 0};

    while (rest->length > 0 && word.length == 0)
        word = span_cut(rest, ' ', NULL);
    return word;
}

struct phrase phrase_of(struct parser *parser, const char *text, const char *keywords)
{
    return (struct phrase){.parser = parser, .rest = span_of(text), .keywords = keywords};
}

int phrase_next(struct phrase *phrase, int bare)
{
    phrase->word = span_word(&phrase->rest);
    if (phrase->word.length == 0)
        return -ENOENT;
    int i = parser_choose(phrase->parser, phrase->word, phrase->keywords);
    if (i < 0)
        return i;
    if (phrase->seen & 1U << i)
        return parser_refuse(phrase->parser, phrase->word, "is there twice");
    phrase->seen |= 1U << i;
    if (i == bare)
        return i;
    phrase->value = span_word(&phrase->rest);
    if (phrase->value.length == 0)
        return parser_refuse(phrase->parser, phrase->word, "has nothing behind it");
    return i;
}

int phrase_number(struct phrase *phrase, uint32_t least, uint32_t *out)
{
    return parser_number(phrase->parser, phrase->value, least, UINT32_MAX, out);
}
