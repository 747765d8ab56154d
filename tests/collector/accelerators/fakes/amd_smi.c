/*
 * libamd_smi.so without a GPU: says what its script says (script.h). ROCM is the first number of the library's version:
 * 23 (ROCm 6.0), 24 (6.2, 6.3), 25 (6.4), 26 (7), 27 (one that does not exist yet); its structures are those of that release.
 *
 * Device keys: uuid, name, serial, bus, partition and parts (see place()), activity, umc, vram_total, vram_used,
 * temperature.<sensor>.<metric>, power, power_average, power_cap, energy, clock.<type>, clock_max.<type>, ecc_corrected,
 * ecc_uncorrected, width, width_max, speed, speed_max, replay, recovery, rollover, nak_sent, nak_received,
 * link.<n>=<type>:<read>:<written> for n from 0, pages (a list of states), ticks, violation.<n>, active.<n>,
 * processes (pid:bytes), render. event.<n>=<device>:<number> is delivered once, in the order of n from 1.
 */
#include "script.h"

#ifndef ROCM
#define ROCM 26
#endif
#define SUCCESS 0
#define NOT_SUPPORTED 2
#define OUT_OF_RESOURCES 15
#define NOT_INIT 32
#define NO_DATA 40
#define MOST 64

#if ROCM >= 25
#define STRING 256
#else
#define STRING 32
#endif

typedef struct { uint32_t gfx, umc, mm, reserved[13]; } Activity;
typedef struct { uint32_t total, used, reserved[2]; } Vram;
typedef struct { uint32_t clk, min, max; uint8_t locked, deep_sleep; uint32_t reserved[4]; } Clock;
typedef struct { uint64_t cap, default_cap, dpm_cap, min, max, reserved[3]; } PowerCap;
typedef struct { uint64_t address, size; uint32_t status; } Page;
typedef struct { uint64_t kfd_id; uint32_t node, partition, reserved[12]; } Kfd;
#if ROCM >= 26
typedef struct { uint32_t major, minor, release; const char *build; } Version;
typedef struct { uint64_t socket; uint32_t current, average; uint64_t gfx, soc, mem; uint32_t limit; uint64_t reserved[18]; } Power;
typedef struct { char name[256], date[256], part[256], version[256], boot[256]; uint64_t reserved[36]; } Vbios;
#elif ROCM == 25
typedef struct { uint32_t year, major, minor, release; const char *build; } Version;
typedef struct { uint64_t socket; uint32_t current, average, gfx, soc, mem, limit, reserved[2]; } Power;
typedef struct { char name[256], date[32], part[256], version[256]; uint32_t reserved[64]; } Vbios;
#else
typedef struct { uint32_t year, major, minor, release; const char *build; } Version;
typedef struct { uint32_t current, average, gfx, soc, mem, limit, reserved[11]; } Power;
typedef struct { char name[64], date[32], part[64], version[32]; uint32_t reserved[16]; } Vbios;
#endif
#if ROCM >= 25
typedef struct { char name[256]; uint32_t vendor; char vendor_name[256]; uint32_t subvendor; uint64_t device; uint32_t rev; char serial[256]; uint32_t oam, units; uint64_t graphics; uint32_t subsystem, reserved[21]; } Asic;
typedef struct { char version[256], date[256], name[256]; } DriverInfo;
#elif ROCM == 24
typedef struct { char name[256]; uint32_t vendor; char vendor_name[64]; uint32_t subvendor; uint64_t device; uint32_t rev; char serial[32]; uint32_t oam, units; uint64_t graphics; uint32_t reserved[15]; } Asic;
typedef struct { char version[64], date[64], name[64]; } DriverInfo;
#else
typedef struct { char name[64]; uint32_t vendor; char vendor_name[64]; uint32_t subvendor; uint64_t device; uint32_t rev; char serial[32]; uint16_t oam; uint16_t reserved[37]; } Asic;
typedef struct { char name[64], version[64], date[64]; } DriverInfo;
#endif
#if ROCM >= 24
typedef struct { uint64_t corrected, uncorrected, deferred, reserved[5]; } Ecc;
#else
typedef struct { uint64_t corrected, uncorrected, reserved[2]; } Ecc;
#endif
typedef struct { uint16_t max_width; uint32_t max_speed, interface, slot, max_interface; uint64_t reserved[9]; } PcieStatic;
typedef struct { uint16_t width; uint32_t speed, bandwidth; uint64_t replay, recovery, rollover, nak_sent, nak_received; uint32_t other_end; uint64_t reserved[12]; } PcieMetric;
typedef struct { PcieStatic fixed; PcieMetric metric; uint64_t reserved[32]; } Pcie;
typedef struct { uint64_t bdf; uint32_t rate, bandwidth, type; uint64_t read, write, reserved[2]; } Link;
typedef struct { uint32_t count; Link links[64]; uint64_t reserved[7]; } Links;
typedef struct { uint64_t gtt, cpu, vram; uint32_t reserved[10]; } ProcessMemory;
typedef struct { char name[STRING]; uint32_t pid; uint64_t mem, gfx, enc; uint32_t reserved1[12]; ProcessMemory memory; char container[STRING]; uint32_t occupancy;
#if ROCM >= 25
  uint32_t reserved[11];
#else
  uint32_t reserved[3];
#endif
} Process;
typedef struct { uint64_t reference, violation, ticks, acc[5];
#if ROCM >= 25
  uint64_t acc_host, per[6]; uint8_t active[6];
#else
  uint64_t per[5]; uint8_t active[5];
#endif
#if ROCM >= 26
  uint64_t of_parts[8][8][8]; uint8_t active_parts[4][8][8]; uint64_t reserved[3][8][8];
#elif ROCM == 25
  uint64_t reserved[3];
#else
  uint64_t reserved[30];
#endif
} Violations;
typedef struct { void *handle; uint32_t event; char message[ROCM >= 26 ? 256 : ROCM == 25 ? 96 : 64]; } Event;
typedef struct { uint32_t render, card, hsa, hip; char uuid[256]; } Nodes;

_Static_assert(sizeof(Activity) == 64 && sizeof(Vram) == 16 && sizeof(Clock) == 32 && sizeof(PowerCap) == 64, "sizes");
_Static_assert(sizeof(Page) == 24 && sizeof(Kfd) == 64 && sizeof(Version) == 24 && sizeof(Nodes) == 272, "sizes");
_Static_assert(sizeof(Pcie) == 512 && sizeof(Link) == 56 && sizeof(Links) == 3648, "sizes");
_Static_assert(sizeof(Power) == (ROCM >= 26 ? 192 : ROCM == 25 ? 40 : 68), "sizes");
_Static_assert(sizeof(Asic) == (ROCM >= 25 ? 896 : ROCM == 24 ? 456 : 256), "sizes");
_Static_assert(sizeof(DriverInfo) == (ROCM >= 25 ? 768 : 192) && sizeof(Ecc) == (ROCM >= 24 ? 64 : 32), "sizes");
_Static_assert(sizeof(Vbios) == (ROCM >= 26 ? 1568 : ROCM == 25 ? 1056 : 256), "sizes");
_Static_assert(sizeof(Process) == (ROCM >= 25 ? 704 : 224), "sizes");
_Static_assert(sizeof(Violations) == (ROCM >= 26 ? 6016 : ROCM == 25 ? 152 : 352), "sizes");
_Static_assert(sizeof(Event) == (ROCM >= 26 ? 272 : ROCM == 25 ? 112 : 80), "sizes");

typedef struct { int device, is_known; } Handle;
static Handle handles[MOST], socket_handle;
static int initialised, listed, generation;

#define ENTER(device) do { int code_ = script_enter(device, __func__); if (code_) return code_; if (!initialised) return NOT_INIT; } while (0)
#define ENTER_HANDLE(h) ENTER((h)->device)

static uint64_t number(const Handle *h, const char *name, double otherwise) { return (uint64_t)script_number(h->device, name, otherwise); }

/* A number of a device that it does not support where the script has none. */
static int known(const Handle *h, const char *name, double *out) { return script_has(h->device, name, out); }

static uint64_t numbered(const Handle *h, const char *name, int place, uint64_t otherwise) {
  char key[48];
  double found;
  snprintf(key, sizeof key, "%s.%d", name, place);
  return script_has(h->device, key, &found) ? (uint64_t)found : otherwise;
}

static void text(char *out, size_t length, const Handle *h, const char *name, const char *otherwise) {
  const char *found = script_text(h->device, name);
  memset(out, 0, length);
  snprintf(out, length, "%s", found ? found : otherwise);
}

int amdsmi_init(uint64_t flags) {
  int code = script_enter(SCRIPT_LIBRARY, __func__);
  if (code) return code;
  if (flags != 2) return 1;
  initialised = 1;
  generation++;
  listed = (int)script_number(SCRIPT_LIBRARY, "devices", 1);
  return SUCCESS;
}
int amdsmi_shut_down(void) { ENTER(SCRIPT_LIBRARY); initialised = 0; return SUCCESS; }

int amdsmi_get_lib_version(Version *out) {
  ENTER(SCRIPT_LIBRARY);
  memset(out, 0, sizeof *out);
  ((uint32_t *)out)[0] = ROCM;
  ((uint32_t *)out)[1] = ROCM == 24 ? 7 : ROCM == 25 ? 3 : 0;
  return SUCCESS;
}

int amdsmi_get_socket_handles(uint32_t *count, void **out) {
  ENTER(SCRIPT_LIBRARY);
  if (out && *count) out[0] = &socket_handle;
  *count = listed > 0;
  return SUCCESS;
}

int amdsmi_get_processor_handles(void *socket, uint32_t *count, void **out) {
  ENTER(SCRIPT_LIBRARY);
  if (socket != &socket_handle) return 1;
  for (uint32_t i = 0; out && i < *count && (int)i < listed; i++) {
    handles[i] = (Handle){(int)i, 1};
    out[i] = &handles[i];
  }
  *count = (uint32_t)listed;
  return SUCCESS;
}

/* A device stands on bus 0x10 + its number, unless `bus` says otherwise. */
int amdsmi_get_gpu_device_bdf(Handle *h, uint64_t *out) {
  ENTER_HANDLE(h);
  *out = number(h, "bus", 0x10 + h->device) << 8 | 0x2 << 3;
  return SUCCESS;
}

int amdsmi_get_gpu_device_uuid(Handle *h, uint32_t *length, char *out) {
  char own[64];
  ENTER_HANDLE(h);
  if (*length < 38) return 41;
  snprintf(own, sizeof own, "00ff74a1-0000-1000-80%02x-000000000000", (unsigned)number(h, "bus", h->device));
  text(out, *length, h, "uuid", own);
  return SUCCESS;
}

int amdsmi_get_gpu_asic_info(Handle *h, Asic *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  text(out->name, sizeof out->name, h, "name", "AMD Instinct MI300X");
  text(out->vendor_name, sizeof out->vendor_name, h, "vendor", "AMD");
  text(out->serial, sizeof out->serial, h, "serial", "0xFFFFFFFFFFFFFFFF");
  return SUCCESS;
}
int amdsmi_get_gpu_driver_info(Handle *h, DriverInfo *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  strcpy(out->name, "amdgpu");
  strcpy(out->version, "6.12.12");
  return SUCCESS;
}
int amdsmi_get_gpu_vbios_info(Handle *h, Vbios *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  strcpy(out->version, "022.040.003");
  return SUCCESS;
}
int amdsmi_get_gpu_compute_partition(Handle *h, char *out, uint32_t length) { ENTER_HANDLE(h); text(out, length, h, "profile", "SPX"); return SUCCESS; }

int amdsmi_get_gpu_activity(Handle *h, Activity *out) {
  double busy;
  ENTER_HANDLE(h);
  if (!known(h, "activity", &busy)) return NOT_SUPPORTED;
  memset(out, 0, sizeof *out);
  out->gfx = (uint32_t)busy;
  out->umc = (uint32_t)number(h, "umc", 0xFFFF);
  out->mm = 0xFFFF;
  return SUCCESS;
}

int amdsmi_get_gpu_vram_usage(Handle *h, Vram *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  out->total = (uint32_t)number(h, "vram_total", 196592);
  out->used = (uint32_t)number(h, "vram_used", 0);
  return SUCCESS;
}

int amdsmi_get_temp_metric(Handle *h, int sensor, int metric, int64_t *out) {
  char key[48];
  double found;
  ENTER_HANDLE(h);
  snprintf(key, sizeof key, "temperature.%d.%d", sensor, metric);
  if (!script_has(h->device, key, &found)) return NOT_SUPPORTED;
  *out = (int64_t)found;
  return SUCCESS;
}

int amdsmi_get_power_info(Handle *h, Power *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  out->current = (uint32_t)number(h, "power", 0xFFFF);
  out->average = (uint32_t)number(h, "power_average", 0xFFFF);
#if ROCM >= 25
  out->socket = out->current != 0xFFFF ? out->current : out->average;
#endif
  out->limit = 750000000;
  return SUCCESS;
}

int amdsmi_get_power_cap_info(Handle *h, uint32_t sensor, PowerCap *out) {
  double found;
  ENTER_HANDLE(h);
  if (sensor || !known(h, "power_cap", &found)) return NOT_SUPPORTED;
  memset(out, 0, sizeof *out);
  out->cap = (uint64_t)found;
  return SUCCESS;
}

int amdsmi_get_energy_count(Handle *h, uint64_t *count, float *resolution, uint64_t *at) {
  double found;
  ENTER_HANDLE(h);
  if (!known(h, "energy", &found)) return NOT_SUPPORTED;
  *count = (uint64_t)found;
  *resolution = 15.3f;
  *at = 1;
  return SUCCESS;
}

int amdsmi_get_clock_info(Handle *h, uint32_t type, Clock *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  out->clk = (uint32_t)numbered(h, "clock", (int)type, 0xFFFFFFFF);
  out->max = (uint32_t)numbered(h, "clock_max", (int)type, 0xFFFFFFFF);
  return SUCCESS;
}

int amdsmi_get_gpu_total_ecc_count(Handle *h, Ecc *out) {
  double found;
  ENTER_HANDLE(h);
  if (!known(h, "ecc_corrected", &found)) return NOT_SUPPORTED;
  memset(out, 0, sizeof *out);
  out->corrected = (uint64_t)found;
  out->uncorrected = number(h, "ecc_uncorrected", 0);
  return SUCCESS;
}

int amdsmi_get_gpu_bad_page_info(Handle *h, uint32_t *count, Page *out) {
  ENTER_HANDLE(h);
  const char *list = script_text(h->device, "pages");
  uint32_t found = 0;
  for (; list && *list; list++) {
    if (*list < '0' || *list > '9') continue;
    if (out && found < *count) out[found] = (Page){found * 4096ull, 4096, (uint32_t)(*list - '0')};
    found++;
  }
  *count = found;
  return SUCCESS;
}

/* pid:bytes,pid:bytes */
int amdsmi_get_gpu_process_list(Handle *h, uint32_t *count, Process *out) {
  ENTER_HANDLE(h);
  const char *list = script_text(h->device, "processes");
  uint32_t room = *count, found = 0;
  while (list && *list) {
    char *end;
    uint32_t pid = (uint32_t)strtoul(list, &end, 10);
    uint64_t bytes = *end == ':' ? strtoull(end + 1, &end, 10) : 0;
    if (out && found < room) {
      memset(&out[found], 0, sizeof out[found]);
      snprintf(out[found].name, sizeof out[found].name, "python3");
      out[found].pid = pid;
      out[found].mem = bytes + 1;
      out[found].memory.vram = bytes;
    }
    found++;
    list = strchr(end, ',');
    if (list) list++;
  }
  *count = found;
  return found > room ? OUT_OF_RESOURCES : SUCCESS;
}

int amdsmi_init_gpu_event_notification(Handle *h) { ENTER_HANDLE(h); return SUCCESS; }
int amdsmi_set_gpu_event_notification_mask(Handle *h, uint64_t mask) { ENTER_HANDLE(h); return mask ? SUCCESS : NOT_SUPPORTED; }
int amdsmi_stop_gpu_event_notification(Handle *h) { ENTER_HANDLE(h); return SUCCESS; }

int amdsmi_get_gpu_event_notification(int timeout_ms, uint32_t *count, Event *out) {
  static int delivered;
  for (int waited = 0;; waited += 5) {
    ENTER(SCRIPT_LIBRARY);
    char name[32];
    snprintf(name, sizeof name, "event.%d", delivered + 1);
    const char *line = script_text(SCRIPT_LIBRARY, name);
    if (line && *count) {
      char *rest;
      long device = strtol(line, &rest, 10);
      memset(out, 0, sizeof *out);
      out->handle = &handles[device];
      out->event = (uint32_t)strtoul(rest + 1, NULL, 0);
      memset(out->message, 'x', sizeof out->message - 1);
      *count = 1;
      delivered++;
      return SUCCESS;
    }
    if (waited >= timeout_ms) { *count = 0; return NO_DATA; }
    struct timespec pause = {0, 5000000};
    nanosleep(&pause, NULL);
  }
}

#if ROCM >= 24
int amdsmi_get_gpu_kfd_info(Handle *h, Kfd *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  out->partition = (uint32_t)number(h, "partition", 0);
  return SUCCESS;
}

int amdsmi_get_pcie_info(Handle *h, Pcie *out) {
  double found;
  ENTER_HANDLE(h);
  if (!known(h, "width", &found)) return NOT_SUPPORTED;
  memset(out, 0, sizeof *out);
  out->fixed.max_width = (uint16_t)number(h, "width_max", 16);
  out->fixed.max_speed = (uint32_t)number(h, "speed_max", 32000);
  out->metric.width = (uint16_t)found;
  out->metric.speed = (uint32_t)number(h, "speed", 32000);
  out->metric.replay = number(h, "replay", 0);
  out->metric.recovery = number(h, "recovery", 0);
  out->metric.rollover = number(h, "rollover", 0);
  out->metric.nak_sent = number(h, "nak_sent", 0);
  const char *untold = script_text(h->device, "nak_received");
  out->metric.nak_received = untold && *untold == '-' ? UINT64_MAX : number(h, "nak_received", 0);
  return SUCCESS;
}

int amdsmi_get_link_metrics(Handle *h, Links *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  for (; out->count < 64; out->count++) {
    char name[32];
    snprintf(name, sizeof name, "link.%u", out->count);
    const char *line = script_text(h->device, name);
    if (!line) break;
    char *rest;
    Link *link = &out->links[out->count];
    link->type = (uint32_t)strtoul(line, &rest, 10);
    link->read = strtoull(rest + 1, &rest, 10);
    link->write = strtoull(rest + 1, &rest, 10);
  }
  return SUCCESS;
}

int amdsmi_get_violation_status(Handle *h, Violations *out) {
  double found;
  ENTER_HANDLE(h);
  if (!known(h, "ticks", &found)) return NOT_SUPPORTED;
  memset(out, 0, sizeof *out);
  out->ticks = (uint64_t)found;
  for (int i = 0; i < 5; i++) {
    out->acc[i] = numbered(h, "violation", i, UINT64_MAX);
    out->active[i] = (uint8_t)numbered(h, "active", i, 0xFF);
  }
  return SUCCESS;
}
#endif

#if ROCM >= 25
int amdsmi_get_gpu_enumeration_info(Handle *h, Nodes *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  out->render = (uint32_t)number(h, "render", 128 + h->device);
  out->card = out->render - 128;
  snprintf(out->uuid, sizeof out->uuid, "GPU-%016x", h->device);
  return SUCCESS;
}
#endif

/* For tests: how often it was initialised. */
int fake_generation(void) { return generation; }
