/*
 * libcndev.so without an MLU: says what its script says (script.h). devices=<number>; the handle of device n is n + 100, in an old one n.
 *
 * What the script does not say, the device does not support. Device keys: health (V2: health,device,driver,overall),
 * incidents (code:result,...), old_health, busy, codec (encoders, decoders: one of each), memory (total,used),
 * old_memory, temperature (board,chip,memory), power (usage,cap), frequency (now,most), throttle (six flags), ecc (SRAM
 * SBE,DBE,parity,DRAM SBE,DBE), old_ecc (corrected,uncorrected), rows (corrected,uncorrected), old_rows (the same, and
 * pending,failed), repair (retire pending,pending,failure), processes (pid:KiB,...), ports, link.<n> (mac,presence),
 * link_errors.<n> (five), link_events.<n> (three), link_counter.<n> (read bytes,write bytes,replay,fatal,crc24,crc32,
 * corrected,uncorrected), pcie (speed,width), pcie_max, pcie_replay, pcie_bytes (read,write), field.<id> or
 * field.<id>.<scope>, field.<id>.error, sn, name, uuid. strict_fields=1: one field that a device does not have fails a
 * whole batch. event.<n>=<device>:<type>:<data> is delivered once, in the order of n from 1. With OLD_LIBRARY defined,
 * one that lacks what newer ones have.
 */
#include <stdbool.h>
#include "script.h"

#define SUCCESS 0
#define UNSUPPORTED_API_VERSION 3
#define INVALID_ARGUMENT 5
#define INVALID_DEVICE_ID 6
#define UNKNOWN 7
#define INSUFFICIENT_SPACE 9
#define NOT_SUPPORTED 10
#define INVALID_LINK 11
#define TIMEOUT 17
#ifdef OLD_LIBRARY
#define FIRST_HANDLE 0
#else
#define FIRST_HANDLE 100
#endif

typedef struct { int version; unsigned number; } CardInfo;
typedef struct { int version; unsigned char uuid[37]; unsigned long ncs; } Uuid;
typedef struct { int version; unsigned long sn, board; } CardSn;
typedef struct { int version; unsigned mcu[3], driver[3]; } Versions;
typedef struct { unsigned subsystem, device_id; unsigned short vendor, subvendor; unsigned domain, bus, device, function; unsigned short module, slot; unsigned reserved[8]; } PcieInfo;
typedef struct { int system, health; char msg[512]; unsigned device_id, bdf; int code; unsigned category, severity; } Incident;
typedef struct { int health, device, driver, overall; unsigned count; Incident incidents[64]; unsigned reserved[8]; } Health;
typedef struct { int version, health, device, driver; } OldHealth;
typedef struct { int version, average, cores[80]; } Utilization;
typedef struct { int version, count, codecs[20], encoder_count, encoders[20], decoder_count, decoders[20]; } Codec;
typedef struct { long total, used, reserved_memory, vtotal, vused; unsigned long global, reserved[16]; } Memory;
typedef struct { int version; long total, used, vtotal, vused, channels, channel[20]; unsigned long global; } OldMemory;
typedef struct { int version, board, clusters[20], dies[8], chip, in, out, memory, video, cpu, isp; } Temperature;
typedef struct { int usage, cap, machine, tdp, most, reserved[16]; } Power;
typedef struct { int version, board, ddr; unsigned char overtemp, fast; unsigned short count, clusters[20]; int standard, range[2]; } Frequency;
typedef struct { int version; unsigned counts[5]; unsigned long aggregate[5]; bool exceeded; unsigned long reserved[11]; } EccCounter;
typedef struct { int version; unsigned long kinds[4], corrected, uncorrected, total, forbidden; } EccInfo;
typedef struct { int version; unsigned corrected, uncorrected, histogram[3]; } Rows;
typedef struct { int version; unsigned corrected, uncorrected, pending, failed; } OldRows;
typedef struct { int version; bool retire_pending, pending, failure; } Repair;
typedef struct { int version, reasons[6]; } Throttle;
typedef struct { int version; unsigned pid; unsigned long physical, virtual_; } Process;
typedef struct { int version, speed, width; } PcieLink;
typedef struct { int version; unsigned counter; } Counter;
typedef struct { long read, write, read_total, write_total; unsigned long timestamp; long reserved[8]; } PcieBytes;
typedef struct { int mac, serdes, presence; unsigned reserved[8]; } LinkStatus;
typedef struct { int version; unsigned long read_bytes, read_packages, write_bytes, write_packages, replay, fatal, ecc_double, crc24, crc32, corrected, uncorrected, rest[7]; } LinkCounter;
typedef struct { unsigned long counts[5], reserved[11]; } LinkErrors;
typedef struct { unsigned long counts[3], reserved[13]; } LinkEvents;
typedef struct { int field, ret; union { double d; unsigned ui; unsigned long ul; } value; int kind; long long latency, timestamp; unsigned scope; } FieldValue;
typedef struct { unsigned version; int device; unsigned long data, kind, timestamp; unsigned compute, instance; unsigned long reserved[8]; } Event;

_Static_assert(sizeof(CardInfo) == 8 && sizeof(Uuid) == 56 && sizeof(CardSn) == 24 && sizeof(Versions) == 28, "sizes");
_Static_assert(sizeof(PcieInfo) == 64 && sizeof(Incident) == 540 && sizeof(Health) == 34612 && sizeof(OldHealth) == 16, "sizes");
_Static_assert(sizeof(Utilization) == 328 && sizeof(Codec) == 256 && sizeof(Memory) == 176 && sizeof(OldMemory) == 216, "sizes");
_Static_assert(sizeof(Temperature) == 148 && sizeof(Power) == 84 && sizeof(Frequency) == 68 && sizeof(EccCounter) == 160, "sizes");
_Static_assert(sizeof(EccInfo) == 72 && sizeof(Rows) == 24 && sizeof(OldRows) == 20 && sizeof(Repair) == 8, "sizes");
_Static_assert(sizeof(Throttle) == 28 && sizeof(Process) == 24 && sizeof(PcieLink) == 12 && sizeof(Counter) == 8, "sizes");
_Static_assert(sizeof(PcieBytes) == 104 && sizeof(LinkStatus) == 44 && sizeof(LinkCounter) == 152, "sizes");
_Static_assert(sizeof(LinkErrors) == 128 && sizeof(LinkEvents) == 128 && sizeof(FieldValue) == 48 && sizeof(Event) == 104, "sizes");

static int initialised;

#define ENTER_LIBRARY() do { int code_ = script_enter(SCRIPT_LIBRARY, __func__); if (code_) return code_; } while (0)
#define ENTER(handle) \
  int d = (handle) - FIRST_HANDLE; \
  do { \
    if (!initialised) return 4; \
    if (d < 0 || d >= (int)script_number(SCRIPT_LIBRARY, "devices", 1)) return INVALID_DEVICE_ID; \
    int code_ = script_enter(d, __func__); \
    if (code_) return code_; \
  } while (0)
#define VERSION_6(out) do { if ((out)->version != 6) return UNSUPPORTED_API_VERSION; } while (0)

static int numbers(int device, const char *name, double *out, int most) {
  const char *text = script_text(device, name);
  int found = 0;
  while (text && *text && found < most) {
    char *end;
    out[found++] = strtod(text, &end);
    text = *end == ',' ? end + 1 : NULL;
  }
  return found;
}

static int numbers_of(int device, const char *name, int port, double *out, int most) {
  char key[48];
  snprintf(key, sizeof key, "%s.%d", name, port);
  return numbers(device, key, out, most);
}

#define NEED(key, most) double n[most]; if (numbers(d, key, n, most) < (most)) return NOT_SUPPORTED
#define NEED_OF(key, port, most) double n[most]; if (numbers_of(d, key, port, n, most) < (most)) return script_number(d, "ports", 0) ? INVALID_LINK : NOT_SUPPORTED

int cndevInit(int reserved) { (void)reserved; ENTER_LIBRARY(); initialised = 1; return SUCCESS; }
int cndevRelease(void) { ENTER_LIBRARY(); initialised = 0; return SUCCESS; }
int cndevGetDeviceCount(CardInfo *out) {
  ENTER_LIBRARY();
  VERSION_6(out);
  if (!initialised) return 4;
  out->number = (unsigned)script_number(SCRIPT_LIBRARY, "devices", 1);
  return SUCCESS;
}

int cndevGetUUID(Uuid *out, int handle) {
  ENTER(handle);
  VERSION_6(out);
  const char *text = script_text(d, "uuid");
  if (text) snprintf((char *)out->uuid, sizeof out->uuid, "%s", text);
  else snprintf((char *)out->uuid, sizeof out->uuid, "dead0000-beef-0000-0000-%012d", d);
  return SUCCESS;
}

const char *cndevGetCardNameStringByDevId(int handle) { const char *text = script_text(handle - FIRST_HANDLE, "name"); return text ? text : "MLU590-H8"; }
int cndevGetCardSN(CardSn *out, int handle) { ENTER(handle); VERSION_6(out); NEED("sn", 1); out->sn = (unsigned long)n[0]; return SUCCESS; }
int cndevGetVersionInfo(Versions *out, int handle) { ENTER(handle); VERSION_6(out); *out = (Versions){6, {1, 4, 2}, {6, 2, 10}}; return SUCCESS; }
int cndevGetPCIeInfoV2(PcieInfo *out, int handle) { ENTER(handle); memset(out, 0, sizeof *out); out->bus = 0x20u + (unsigned)d; return SUCCESS; }

int cndevGetCardHealthState(OldHealth *out, int handle) { ENTER(handle); VERSION_6(out); NEED("old_health", 1); out->health = (int)n[0]; return SUCCESS; }
int cndevGetDeviceUtilizationInfo(Utilization *out, int handle) { ENTER(handle); VERSION_6(out); NEED("busy", 1); out->average = (int)n[0]; return SUCCESS; }
int cndevGetMemoryUsage(OldMemory *out, int handle) { ENTER(handle); VERSION_6(out); NEED("old_memory", 2); out->total = (long)n[0], out->used = (long)n[1]; return SUCCESS; }
int cndevGetTemperatureInfo(Temperature *out, int handle) { ENTER(handle); VERSION_6(out); NEED("temperature", 3); out->board = (int)n[0], out->chip = (int)n[1], out->memory = (int)n[2]; return SUCCESS; }
int cndevGetPowerInfoV2(Power *out, int handle) { ENTER(handle); NEED("power", 2); out->usage = (int)n[0], out->cap = (int)n[1]; return SUCCESS; }
int cndevGetFrequencyInfo(Frequency *out, int handle) { ENTER(handle); VERSION_6(out); NEED("frequency", 2); out->board = (int)n[0], out->range[1] = (int)n[1]; return SUCCESS; }
int cndevGetECCInfo(EccInfo *out, int handle) { ENTER(handle); VERSION_6(out); NEED("old_ecc", 2); out->corrected = (unsigned long)n[0], out->uncorrected = (unsigned long)n[1]; return SUCCESS; }
int cndevGetRemappedRows(OldRows *out, int handle) { ENTER(handle); VERSION_6(out); NEED("old_rows", 4); *out = (OldRows){6, (unsigned)n[0], (unsigned)n[1], (unsigned)n[2], (unsigned)n[3]}; return SUCCESS; }
int cndevGetMLULinkPortNumber(int handle) { return (int)script_number(handle - FIRST_HANDLE, "ports", -1); }
int cndevGetMLULinkCounter(LinkCounter *out, int handle, int link) {
  ENTER(handle);
  VERSION_6(out);
  NEED_OF("link_counter", link, 8);
  out->read_bytes = (unsigned long)n[0], out->write_bytes = (unsigned long)n[1], out->replay = (unsigned long)n[2], out->fatal = (unsigned long)n[3];
  out->crc24 = (unsigned long)n[4], out->crc32 = (unsigned long)n[5], out->corrected = (unsigned long)n[6], out->uncorrected = (unsigned long)n[7];
  return SUCCESS;
}

int cndevGetProcessInfo(unsigned *count, Process *out, int handle) {
  ENTER(handle);
  VERSION_6(out);
  const char *text = script_text(d, "processes");
  if (!text) return NOT_SUPPORTED;
  unsigned room = *count, found = 0;
  while (*text) {
    char *end;
    unsigned pid = (unsigned)strtoul(text, &end, 10);
    unsigned long kib = strtoul(end + 1, &end, 10);
    if (found < room) out[found] = (Process){6, pid, kib, 0};
    found++;
    if (*end != ',') break;
    text = end + 1;
  }
  *count = found;
  return found > room ? INSUFFICIENT_SPACE : SUCCESS;
}

#ifndef OLD_LIBRARY
int cndevGetDeviceHandleByIndex(int index, int *out) { int code = script_enter(index, __func__); if (code) return code; *out = index + FIRST_HANDLE; return SUCCESS; }

int cndevGetCardHealthStateV2(Health *out, int handle) {
  ENTER(handle);
  NEED("health", 4);
  memset(out, 0, sizeof *out);
  out->health = (int)n[0], out->device = (int)n[1], out->driver = (int)n[2], out->overall = (int)n[3];
  const char *text = script_text(d, "incidents");
  while (text && *text && out->count < 64) {
    char *end;
    out->incidents[out->count].code = (int)strtol(text, &end, 10);
    out->incidents[out->count++].health = (int)strtol(end + 1, &end, 10);
    text = *end == ',' ? end + 1 : NULL;
  }
  return SUCCESS;
}

int cndevGetVideoCodecUtilization(Codec *out, int handle) {
  ENTER(handle);
  VERSION_6(out);
  NEED("codec", 2);
  out->encoder_count = out->decoder_count = 2;
  out->encoders[0] = out->encoders[1] = (int)n[0], out->decoders[0] = (int)n[1], out->decoders[1] = 0;
  return SUCCESS;
}

int cndevGetMemoryUsageV2(Memory *out, int handle) { ENTER(handle); NEED("memory", 2); out->total = (long)n[0], out->used = (long)n[1]; return SUCCESS; }
int cndevGetDevicePowerInfo(Power *out, int handle) { ENTER(handle); NEED("power", 2); out->usage = (int)n[0], out->cap = (int)n[1]; return SUCCESS; }
int cndevGetMemEccCounter(EccCounter *out, int handle) { ENTER(handle); VERSION_6(out); NEED("ecc", 5); for (int i = 0; i < 5; i++) out->counts[i] = (unsigned)n[i]; return SUCCESS; }
int cndevGetRemappedRowsV2(Rows *out, int handle) { ENTER(handle); VERSION_6(out); NEED("rows", 2); out->corrected = (unsigned)n[0], out->uncorrected = (unsigned)n[1]; return SUCCESS; }
int cndevGetRepairStatus(Repair *out, int handle) { ENTER(handle); VERSION_6(out); NEED("repair", 3); *out = (Repair){6, n[0] > 0, n[1] > 0, n[2] > 0}; return SUCCESS; }
int cndevGetPerformanceThrottleReason(Throttle *out, int handle) { ENTER(handle); VERSION_6(out); NEED("throttle", 6); for (int i = 0; i < 6; i++) out->reasons[i] = (int)n[i]; return SUCCESS; }
int cndevGetCurrentPCIInfo(PcieLink *out, int handle) { ENTER(handle); VERSION_6(out); NEED("pcie", 2); out->speed = (int)n[0], out->width = (int)n[1]; return SUCCESS; }
int cndevGetMaxPCIInfo(PcieLink *out, int handle) { ENTER(handle); VERSION_6(out); NEED("pcie_max", 2); out->speed = (int)n[0], out->width = (int)n[1]; return SUCCESS; }
int cndevGetPcieReplayCounter(Counter *out, int handle) { ENTER(handle); VERSION_6(out); NEED("pcie_replay", 1); out->counter = (unsigned)n[0]; return SUCCESS; }
int cndevGetPCIethroughputV2(PcieBytes *out, int handle) { ENTER(handle); NEED("pcie_bytes", 2); out->read_total = (long)n[0], out->write_total = (long)n[1]; return SUCCESS; }
int cndevGetMLULinkStatusV2(LinkStatus *out, int handle, int link) { ENTER(handle); NEED_OF("link", link, 2); out->mac = (int)n[0], out->presence = (int)n[1]; return SUCCESS; }
int cndevGetMLULinkErrorCounter(LinkErrors *out, int handle, int link) { ENTER(handle); NEED_OF("link_errors", link, 5); for (int i = 0; i < 5; i++) out->counts[i] = (unsigned long)n[i]; return SUCCESS; }
int cndevGetMLULinkEventCounter(LinkEvents *out, int handle, int link) { ENTER(handle); NEED_OF("link_events", link, 3); for (int i = 0; i < 3; i++) out->counts[i] = (unsigned long)(long)n[i]; return SUCCESS; }

int cndevDeviceGetFieldValues(int handle, int many, FieldValue *out) {
  ENTER(handle);
  int strict = (int)script_number(SCRIPT_LIBRARY, "strict_fields", 0);
  for (int i = 0; i < many; i++) {
    char key[48];
    double number;
    snprintf(key, sizeof key, "field.%d", out[i].field);
    const char *failure = script_text2(d, key, "error");
    if (out[i].field == 63 || out[i].field == 64) snprintf(key, sizeof key, "field.%d.%u", out[i].field, out[i].scope);
    out[i].ret = SUCCESS;
    if (failure) { out[i].ret = atoi(failure); continue; }
    if (!script_has(d, key, &number)) {
      if (strict) return INVALID_ARGUMENT;
      out[i].ret = NOT_SUPPORTED;
      continue;
    }
    if (out[i].field == 71) out[i].kind = 3, out[i].value.ul = (unsigned long)number;
    else if (number != (double)(unsigned)number) out[i].kind = 0, out[i].value.d = number;
    else out[i].kind = 1, out[i].value.ui = (unsigned)number;
  }
  return SUCCESS;
}

int cndevEventHandleCreate(void **out) { ENTER_LIBRARY(); *out = calloc(1, 16); return SUCCESS; }
int cndevEventHandleDestroy(void *handle) { ENTER_LIBRARY(); free(handle); return SUCCESS; }
int cndevRegisterEvents(void *handle, unsigned long long types, int device) { ENTER(device); *(int *)handle = types != 0; return types ? SUCCESS : INVALID_ARGUMENT; }

int cndevEventWait(void *handle, Event *out, int timeout_ms) {
  static int delivered;
  if (out->version != 6) return UNSUPPORTED_API_VERSION;
  if (!*(int *)handle) return UNKNOWN; /* nobody is registered */
  for (int waited = 0;; waited += 5) {
    ENTER_LIBRARY();
    char name[32];
    snprintf(name, sizeof name, "event.%d", delivered + 1);
    const char *text = script_text(SCRIPT_LIBRARY, name);
    if (text) {
      char *rest;
      long device = strtol(text, &rest, 10);
      unsigned long kind = strtoul(rest + 1, &rest, 0), data = strtoul(rest + 1, &rest, 0);
      *out = (Event){6, (int)device + FIRST_HANDLE, data, kind, 0, 0, 0, {0}};
      delivered++;
      return SUCCESS;
    }
    if (waited >= timeout_ms) return TIMEOUT;
    struct timespec pause = {0, 5000000};
    nanosleep(&pause, NULL);
  }
}
#endif
