#ifndef NDM_NAMES_H
#define NDM_NAMES_H

#include "text.h"

/* What a device, a link and a container may be called. */

/* A DNS label (RFC 1123) in lower case, at most 63 bytes. */
bool is_device_name(struct span span);

/*
 * A name that a link can have: the kernel's dev_valid_name(), 1 to 15 bytes, not
 * "." or "..", without slash, colon, white space (0xa0 is one to the kernel) or
 * '%', which the kernel takes for a template. Bytes that are not text are allowed,
 * as the kernel allows them. (`ns:1` can be an alternative name, never the name.)
 */
bool is_link_name(struct span span);

/* 1 to 255 bytes, no slash, no control byte, not "." or "..". */
bool is_container_id(struct span span);

#endif
