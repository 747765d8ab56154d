/*
 * libnvidia-ml.so.1 without a GPU: says what its script says (script.h). With OLD_DRIVER defined, a driver that lacks
 * what newer ones have.
 *
 * Device keys beside those of the calls below: uuid, name, serial, mig (number of instances), mig_generation (handles
 * of an older one are stale), field.<id> and field.<id>.error, gpm.<id>, processes (lists of pid:bytes).
 * event.<n>=<device>:<type>:<data> is delivered once, in the order of n from 1.
 */
#include "script.h"

#define SUCCESS 0
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7
#define TIMEOUT 10
#define MOST_DEVICES 64
#define MOST_INSTANCES 7

typedef struct { int device, instance, generation; } Handle;
typedef struct { unsigned fieldId, scopeId; int64_t timestamp, latency; unsigned type; int status; union { double d; unsigned u; uint64_t l; } value; } FieldValue;
typedef struct { uint64_t total, free, used; } Memory;
typedef struct { unsigned version; uint64_t total, reserved, free, used; } MemoryV2;
typedef struct { unsigned pid; uint64_t bytes; unsigned gi, ci; } Process;
typedef struct { Handle *device; uint64_t type, data; unsigned gi, ci; } Event;
typedef struct { unsigned id; int status; double value; void *names[3]; } GpmMetric;
typedef struct { unsigned version, count; void *sample1, *sample2; GpmMetric metrics[477]; } GpmRequest;
typedef struct { char legacy[16]; unsigned domain, bus, device, pci, subsystem; char bus_id[32]; } Pci;

_Static_assert(sizeof(FieldValue) == 40 && sizeof(Memory) == 24 && sizeof(MemoryV2) == 40, "sizes");
_Static_assert(sizeof(Process) == 24 && sizeof(Event) == 32 && sizeof(GpmRequest) == 19104 && sizeof(Pci) == 68, "sizes");

static Handle gpus[MOST_DEVICES];
static long calls_of_fields;

#define ENTER(device) do { int code_ = script_enter(device, __func__); if (code_) return code_; } while (0)
#define ENTER_HANDLE(h) do { ENTER((h)->device); if (stale(h)) return INVALID_ARGUMENT; } while (0)

static int stale(const Handle *h) {
  return h->instance >= 0 && h->generation != (int)script_number(h->device, "mig_generation", 1);
}

static int count(void) { return (int)script_number(SCRIPT_LIBRARY, "devices", 1); }

static int answer_text(const char *text, char *out, unsigned length) {
  snprintf(out, length, "%s", text);
  return SUCCESS;
}

/* A number of a device; where the script has none, the device does not support it. */
static int answer_number(const Handle *h, const char *name, unsigned *out) {
  double number;
  if (h->instance >= 0 || !script_has(h->device, name, &number)) return NOT_SUPPORTED;
  *out = (unsigned)number;
  return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; ENTER(SCRIPT_LIBRARY); return SUCCESS; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { ENTER(SCRIPT_LIBRARY); return SUCCESS; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the fake"; }

int nvmlSystemGetDriverVersion(char *out, unsigned length) {
  ENTER(SCRIPT_LIBRARY);
  const char *text = script_text(SCRIPT_LIBRARY, "driver_version");
  return answer_text(text ? text : "580.1", out, length);
}
int nvmlSystemGetCudaDriverVersion_v2(int *out) { *out = 13000; return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *out) { ENTER(SCRIPT_LIBRARY); *out = (unsigned)count(); return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle **out) {
  ENTER((int)index);
  if ((int)index >= count() || index >= MOST_DEVICES) return INVALID_ARGUMENT;
  gpus[index] = (Handle){(int)index, -1, 0};
  *out = &gpus[index];
  return SUCCESS;
}

int nvmlDeviceGetIndex(Handle *h, unsigned *out) { ENTER_HANDLE(h); *out = (unsigned)h->device; return SUCCESS; }

int nvmlDeviceGetUUID(Handle *h, char *out, unsigned length) {
  ENTER_HANDLE(h);
  const char *text = script_text(h->device, "uuid");
  char own[96];
  if (text) snprintf(own, sizeof own, "%s", text);
  else snprintf(own, sizeof own, "GPU-00000000-0000-0000-0000-%012d", h->device);
  if (h->instance < 0) return answer_text(own, out, length);
  snprintf(out, length, "MIG-%d-%d-%s", h->instance, h->generation, own + 4);
  return SUCCESS;
}

int nvmlDeviceGetName(Handle *h, char *out, unsigned length) {
  ENTER_HANDLE(h);
  const char *text = script_text(h->device, "name");
  snprintf(out, length, "%s%s", text ? text : "NVIDIA H100 80GB HBM3", h->instance >= 0 ? " MIG 1g.10gb" : "");
  return SUCCESS;
}

int nvmlDeviceGetSerial(Handle *h, char *out, unsigned length) {
  ENTER_HANDLE(h);
  const char *text = script_text(h->device, "serial");
  return text ? answer_text(text, out, length) : NOT_SUPPORTED;
}

int nvmlDeviceGetVbiosVersion(Handle *h, char *out, unsigned length) { ENTER_HANDLE(h); return answer_text("96.00.01", out, length); }
int nvmlDeviceGetMinorNumber(Handle *h, unsigned *out) { ENTER_HANDLE(h); *out = (unsigned)h->device; return SUCCESS; }

int nvmlDeviceGetPciInfo_v3(Handle *h, Pci *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  out->bus = 0x10u + (unsigned)h->device;
  snprintf(out->bus_id, sizeof out->bus_id, "00000000:%02X:00.0", out->bus);
  return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(Handle *h, unsigned *out) {
  ENTER_HANDLE(h);
  if (answer_number(h, "busy", &out[0])) return NOT_SUPPORTED;
  out[1] = (unsigned)script_number(h->device, "memory_busy", 0);
  return SUCCESS;
}

int nvmlDeviceGetEncoderUtilization(Handle *h, unsigned *out, unsigned *period) { ENTER_HANDLE(h); *period = 1000; return answer_number(h, "encoder", out); }
int nvmlDeviceGetDecoderUtilization(Handle *h, unsigned *out, unsigned *period) { ENTER_HANDLE(h); *period = 1000; return answer_number(h, "decoder", out); }

static void fill(const Handle *h, uint64_t *total, uint64_t *reserved, uint64_t *free_, uint64_t *used) {
  double part = h->instance >= 0 ? MOST_INSTANCES : 1;
  *total = (uint64_t)(script_number(h->device, "memory_total", 85899345920.0) / part);
  *used = (uint64_t)(script_number(h->device, "memory_used", 0) / part);
  *reserved = (uint64_t)(script_number(h->device, "memory_reserved", 0) / part);
  *free_ = *total - *used - *reserved;
}

int nvmlDeviceGetMemoryInfo(Handle *h, Memory *out) {
  uint64_t reserved;
  ENTER_HANDLE(h);
  fill(h, &out->total, &reserved, &out->free, &out->used);
  return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(Handle *h, MemoryV2 *out) {
  ENTER_HANDLE(h);
  fill(h, &out->total, &out->reserved, &out->free, &out->used);
  return SUCCESS;
}

int nvmlDeviceGetTemperature(Handle *h, int sensor, unsigned *out) { (void)sensor; ENTER_HANDLE(h); return answer_number(h, "temperature", out); }

int nvmlDeviceGetTemperatureThreshold(Handle *h, int kind, unsigned *out) {
  char name[32];
  ENTER_HANDLE(h);
  snprintf(name, sizeof name, "threshold.%d", kind);
  return answer_number(h, name, out);
}

int nvmlDeviceGetPowerUsage(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer_number(h, "power", out); }
int nvmlDeviceGetEnforcedPowerLimit(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer_number(h, "power_limit", out); }
int nvmlDeviceGetFanSpeed(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer_number(h, "fan", out); }
int nvmlDeviceGetPerformanceState(Handle *h, int *out) { ENTER_HANDLE(h); *out = 0; return SUCCESS; }

int nvmlDeviceGetTotalEnergyConsumption(Handle *h, uint64_t *out) {
  double number;
  ENTER_HANDLE(h);
  if (h->instance >= 0 || !script_has(h->device, "energy", &number)) return NOT_SUPPORTED;
  *out = (uint64_t)number;
  return SUCCESS;
}

static int clock_of(const Handle *h, const char *prefix, int kind, unsigned *out) {
  char name[32];
  snprintf(name, sizeof name, "%s.%d", prefix, kind);
  return answer_number(h, name, out);
}
int nvmlDeviceGetClockInfo(Handle *h, int kind, unsigned *out) { ENTER_HANDLE(h); return clock_of(h, "clock", kind, out); }
int nvmlDeviceGetMaxClockInfo(Handle *h, int kind, unsigned *out) { ENTER_HANDLE(h); return clock_of(h, "clock_max", kind, out); }

static int reasons(const Handle *h, uint64_t *out) {
  const char *text = script_text(h->device, "reasons");
  if (!text || h->instance >= 0) return NOT_SUPPORTED;
  *out = strtoull(text, NULL, 0);
  return SUCCESS;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(Handle *h, uint64_t *out) { ENTER_HANDLE(h); return reasons(h, out); }
int nvmlDeviceGetCurrPcieLinkWidth(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer_number(h, "pcie_width", out); }
int nvmlDeviceGetMaxPcieLinkWidth(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer_number(h, "pcie_width_max", out); }
int nvmlDeviceGetCurrPcieLinkGeneration(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer_number(h, "pcie_generation", out); }
int nvmlDeviceGetMaxPcieLinkGeneration(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer_number(h, "pcie_generation_max", out); }

int nvmlDeviceGetMigMode(Handle *h, unsigned *current, unsigned *pending) {
  ENTER_HANDLE(h);
  *current = *pending = script_number(h->device, "mig", 0) > 0;
  return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(Handle *h, unsigned *out) { ENTER_HANDLE(h); *out = MOST_INSTANCES; return SUCCESS; }

int nvmlDeviceGetMigDeviceHandleByIndex(Handle *h, unsigned place, Handle **out) {
  ENTER_HANDLE(h);
  if (place >= script_number(h->device, "mig", 0)) return NOT_FOUND;
  *out = malloc(sizeof **out); /* a handle of its own for every question, as drivers do: an old one stays what it was */
  **out = (Handle){h->device, (int)place, (int)script_number(h->device, "mig_generation", 1)};
  static Handle *known[MOST_DEVICES][MOST_INSTANCES];
  Handle **same = &known[h->device][place];
  if (*same && (*same)->generation == (*out)->generation) { free(*out); *out = *same; }
  *same = *out;
  return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(Handle *h, unsigned *out) { ENTER_HANDLE(h); if (h->instance < 0) return NOT_SUPPORTED; *out = (unsigned)h->instance + 7; return SUCCESS; }
int nvmlDeviceIsMigDeviceHandle(Handle *h, unsigned *out) { ENTER_HANDLE(h); *out = h->instance >= 0; return SUCCESS; }

/* processes=11:1024,12:-  (a dash: the driver does not tell how much memory) */
int nvmlDeviceGetComputeRunningProcesses_v3(Handle *h, unsigned *many, Process *out) {
  ENTER_HANDLE(h);
  const char *text = script_text(h->device, "processes");
  unsigned room = *many, found = 0;
  while (text && *text) {
    char *end;
    unsigned pid = (unsigned)strtoul(text, &end, 10);
    uint64_t bytes = end[1] == '-' ? UINT64_MAX : strtoull(end + 1, &end, 10);
    if (out && found < room) out[found] = (Process){pid, bytes, 0, 0};
    found++;
    text = strchr(end, ',');
    if (text) text++;
  }
  *many = found;
  return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Handle *h, unsigned *many, Process *out) { (void)out; ENTER_HANDLE(h); *many = 0; return SUCCESS; }

/* Real drivers may write past the last element that was asked for; so does this one. */
int nvmlDeviceGetFieldValues(Handle *h, int many, FieldValue *out) {
  ENTER_HANDLE(h);
  __atomic_add_fetch(&calls_of_fields, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < many; i++) {
    char name[48];
    double number;
    snprintf(name, sizeof name, out[i].fieldId == 165 ? "link.%u" : "field.%u", out[i].fieldId == 165 ? out[i].scopeId : out[i].fieldId);
    out[i].status = SUCCESS;
    if (script_has_errors) {
      const char *failure = script_text2(h->device, name, "error");
      if (failure) { out[i].status = atoi(failure); continue; }
    }
    if (!script_has(h->device, name, &number)) { out[i].status = NOT_SUPPORTED; continue; }
    if (number >= 4294967296.0 || out[i].fieldId == 83) { out[i].type = 3; out[i].value.l = (uint64_t)number; }
    else { out[i].type = 1; out[i].value.u = (unsigned)number; }
  }
  if (many > 1) out[many].fieldId = 0xDEAD;
  return SUCCESS;
}

static long event_sets;
typedef struct { long *maker; } EventSet;

int nvmlEventSetCreate(EventSet **out) {
  ENTER(SCRIPT_LIBRARY);
  event_sets++;
  *out = malloc(sizeof **out);
  (*out)->maker = &event_sets;
  return SUCCESS;
}

/* The binding has one library at a time: who still waited for events of the last one comes here with its set. */
static int is_of_another(const EventSet *set) { return set->maker != &event_sets; }

int nvmlEventSetFree(EventSet *set) {
  ENTER(SCRIPT_LIBRARY);
  if (is_of_another(set)) return INVALID_ARGUMENT;
  free(set);
  return SUCCESS;
}

static uint64_t event_types(const Handle *h) {
  const char *text = script_text(h->device, "event_types");
  return text ? strtoull(text, NULL, 0) : 0xFFFF;
}

int nvmlDeviceGetSupportedEventTypes(Handle *h, uint64_t *out) { ENTER_HANDLE(h); *out = event_types(h); return SUCCESS; }

int nvmlDeviceRegisterEvents(Handle *h, uint64_t mask, EventSet *set) {
  ENTER_HANDLE(h);
  if (is_of_another(set)) return INVALID_ARGUMENT;
  if (mask & ~event_types(h)) return INVALID_ARGUMENT;
  return mask ? SUCCESS : NOT_SUPPORTED;
}

int nvmlEventSetWait_v2(EventSet *set, Event *out, unsigned timeout_ms) {
  static int delivered;
  for (unsigned waited = 0;; waited += 200) {
    ENTER(SCRIPT_LIBRARY);
    if (is_of_another(set)) return INVALID_ARGUMENT;
    char name[32];
    snprintf(name, sizeof name, "event.%d", delivered + 1);
    const char *text = script_text(SCRIPT_LIBRARY, name);
    if (text) {
      char *rest;
      long device = strtol(text, &rest, 10);
      uint64_t type = strtoull(rest + 1, &rest, 0), data = strtoull(rest + 1, &rest, 0);
      *out = (Event){&gpus[device], type, data, 0xFFFFFFFFu, 0xFFFFFFFFu};
      delivered++;
      return SUCCESS;
    }
    if (waited >= timeout_ms) return TIMEOUT;
    struct timespec pause = {0, 200000000}; /* a real one sleeps in the kernel; looking more often would count as our own work */
    nanosleep(&pause, NULL);
  }
}

#ifndef OLD_DRIVER
int nvmlDeviceGetTemperatureV(Handle *h, unsigned *io) { ENTER_HANDLE(h); return answer_number(h, "temperature", &io[2]); }
int nvmlDeviceGetCurrentClocksEventReasons(Handle *h, uint64_t *out) { ENTER_HANDLE(h); return reasons(h, out); }

static int gpm_users;

int nvmlGpmQueryDeviceSupport(Handle *h, unsigned *io) {
  ENTER_HANDLE(h);
  if (io[0] != 1) return 25;
  io[1] = script_number(h->device, "gpm", 1) > 0;
  return SUCCESS;
}
int nvmlGpmSampleAlloc(void **out) { ENTER(SCRIPT_LIBRARY); *out = calloc(1, sizeof(Handle)); return SUCCESS; }
int nvmlGpmSampleFree(void *sample) { ENTER(SCRIPT_LIBRARY); free(sample); return SUCCESS; }

static int gpm_take(const Handle *h, int instance, Handle *sample) {
  if (__atomic_add_fetch(&gpm_users, 1, __ATOMIC_SEQ_CST) > 1) abort(); /* GPM is not thread-safe: neither is this */
  *sample = (Handle){h->device, instance, 1};
  __atomic_sub_fetch(&gpm_users, 1, __ATOMIC_SEQ_CST);
  return SUCCESS;
}
int nvmlGpmSampleGet(Handle *h, Handle *sample) { ENTER_HANDLE(h); return gpm_take(h, -1, sample); }
int nvmlGpmMigSampleGet(Handle *h, unsigned instance, Handle *sample) { ENTER_HANDLE(h); return gpm_take(h, (int)instance, sample); }

int nvmlGpmMetricsGet(GpmRequest *io) {
  const Handle *older = io->sample1, *newer = io->sample2;
  if (io->version != 1 || older->device != newer->device || !older->generation) return INVALID_ARGUMENT;
  ENTER(newer->device);
  for (unsigned i = 0; i < io->count; i++) {
    char name[32];
    snprintf(name, sizeof name, "gpm.%u", io->metrics[i].id);
    io->metrics[i].status = script_has(newer->device, name, &io->metrics[i].value) ? SUCCESS : NOT_SUPPORTED;
  }
  return SUCCESS;
}
#endif

/* For tests: how often field values were read, and how many event sets were made. */
long fake_calls_of_fields(void) { return calls_of_fields; }
long fake_event_sets(void) { return event_sets; }
