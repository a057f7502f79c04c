/* Shared by options*.c and private to them: the rows of options.def, and of the commands. */
#ifndef KD_FRONTEND_OPTIONS_TABLE_H
#define KD_FRONTEND_OPTIONS_TABLE_H

#include "frontend/options.h"

typedef enum KdOptionId {
#define KD_OPTION(id, name, letter, argument, where, help) ID_##id,
#include "frontend/options.def"
    NUM_OPTIONS
} KdOptionId;

typedef struct KdOptionRow {
    const char *name;
    char letter;
    const char *argument;
    int where;
    const char *help;
} KdOptionRow;

extern const KdOptionRow kd_option_rows[NUM_OPTIONS];

/* A command: its name, the bit of it, what its file is called, the head of its help. The first is
 * for scripts, which need no command's name. */
typedef struct KdCommandRow {
    const char *name;
    int command;
    const char *file, *head;
} KdCommandRow;

enum { NUM_COMMANDS = 7 };
extern const KdCommandRow kd_command_rows[NUM_COMMANDS];

const KdCommandRow *kd_command_row(int command);

/* options_values.c: takes over the value of one option. False after an error. */
bool kd_option_value(KdOptions *o, KdOptionId id, const char *text, KdDiag *d);

#endif
