/* The data of a run that ships, which may be somewhere else: that is no error. */
#ifndef KD_FRONTEND_SHIP_DATA_H
#define KD_FRONTEND_SHIP_DATA_H

#include "frontend/driver/data.h"
#include "frontend/options.h"

typedef struct KdShipData {
    KdDatasets all;
    KdrtDataset data;
    bool there;
    char why[512]; /* what their reader said, if they are not there */
    KdLoc loc;     /* of the data in the script */
} KdShipData;

/* Reads them, without a word if that fails. */
void kd_ship_data_open(KdShipData *s, const KdRun *run, const KdOptions *o);
/* If they are not there: a note that says why. */
void kd_ship_data_why(const KdShipData *s, KdDiag *d);
void kd_ship_data_close(KdShipData *s);

#endif
