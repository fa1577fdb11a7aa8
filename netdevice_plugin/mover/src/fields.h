#ifndef NDM_FIELDS_H
#define NDM_FIELDS_H

#include "record.h"

/* What a record says one field a line: all but its phase and its holders. */

void fields_put(struct text *out, const struct record *record);
/* 0 as well for a key that a later version may have; -errno: it does not say what it should. */
int field_parse(struct span key, struct span value, struct record *out);

#endif
