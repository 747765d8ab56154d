/*
 * libhlml.so without a Gaudi: says what its script says (script.h). With OLD_RELEASE defined, one of 2021: no share of
 * memory, a shorter PCI address, and none of what came later.
 *
 * Device keys: uuid, name, serial, minor, busy, memory_busy, memory_total, memory_used, temperature.<sensor>,
 * threshold.<kind>, power, power_limit, power_default, energy, clock, clock_max, reasons, ecc.<kind>, rows.<cause>,
 * pending, replay, width, generation, ports (a mask), port.<n> (0: down).
 * event.<n>=<device>:<bits> is delivered once, in the order of n from 1; a device of -1 is none that is known.
 */
#include "script.h"
#include <stdbool.h>

#define SUCCESS 0
#define UNINITIALIZED 1
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define INSUFFICIENT_SIZE 7
#define TIMEOUT 10
#define MOST 64

#ifdef OLD_RELEASE
typedef struct { unsigned aip; } Utilization;
typedef struct { char speed[10], width[10]; } PciCap;
typedef struct { unsigned bus; char bus_id[15]; unsigned device, domain, id; PciCap caps; } Pci;
_Static_assert(sizeof(Utilization) == 4 && sizeof(Pci) == 52, "sizes");
#else
typedef struct { unsigned aip, memory; } Utilization;
typedef struct { char speed[10], width[10], max_speed[10], max_width[10]; } PciCap;
typedef struct { unsigned bus; char bus_id[19]; unsigned device, domain, id; PciCap caps; unsigned rev, subsystem; } Pci;
_Static_assert(sizeof(Utilization) == 8 && sizeof(Pci) == 84, "sizes");
#endif
typedef struct { unsigned long long free, total, used; } Memory;
typedef struct { void *device; unsigned long long bits; } Event;
_Static_assert(sizeof(Memory) == 24 && sizeof(Event) == 16, "sizes");

typedef struct { int device; } Handle;
static Handle handles[MOST];
static int initialised;

#define ENTER(device) do { int code_ = script_enter(device, __func__); if (code_) return code_; if (!initialised) return UNINITIALIZED; } while (0)
#define ENTER_HANDLE(h) ENTER((h)->device)

static int answer(const Handle *h, const char *name, unsigned *out) {
  double number;
  if (!script_has(h->device, name, &number)) return NOT_SUPPORTED;
  *out = (unsigned)number;
  return SUCCESS;
}

static int answer_numbered(const Handle *h, const char *name, unsigned place, unsigned *out) {
  char key[32];
  snprintf(key, sizeof key, "%s.%u", name, place);
  return answer(h, key, out);
}

static int answer_text(const Handle *h, const char *name, const char *otherwise, char *out, unsigned length) {
  const char *text = script_text(h->device, name);
  if (strlen(text ? text : otherwise) >= length) return INSUFFICIENT_SIZE;
  strcpy(out, text ? text : otherwise);
  return SUCCESS;
}

int hlml_init(void) { int code = script_enter(SCRIPT_LIBRARY, __func__); if (!code || code == 5) initialised = 1; return code; }
int hlml_shutdown(void) { ENTER(SCRIPT_LIBRARY); initialised = 0; return SUCCESS; }

int hlml_device_get_count(unsigned *out) { ENTER(SCRIPT_LIBRARY); *out = (unsigned)script_number(SCRIPT_LIBRARY, "devices", 1); return SUCCESS; }

int hlml_device_get_handle_by_index(unsigned index, void **out) {
  ENTER((int)index);
  if (index >= MOST) return INVALID_ARGUMENT;
  handles[index] = (Handle){(int)index};
  *out = &handles[index];
  return SUCCESS;
}

int hlml_device_get_name(Handle *h, char *out, unsigned length) { ENTER_HANDLE(h); return answer_text(h, "name", "HL-225", out, length); }

int hlml_device_get_uuid(Handle *h, char *out, unsigned length) {
  char own[64];
  ENTER_HANDLE(h);
  snprintf(own, sizeof own, "01P4-HL2080A0-15-TNPS34-%02d-07-05", h->device);
  return answer_text(h, "uuid", own, out, length);
}
int hlml_device_get_serial(Handle *h, char *out, unsigned length) {
  char own[64];
  ENTER_HANDLE(h);
  snprintf(own, sizeof own, "AN4702%04d", h->device);
  return answer_text(h, "serial", own, out, length);
}

int hlml_device_get_minor_number(Handle *h, unsigned *out) { ENTER_HANDLE(h); *out = (unsigned)script_number(h->device, "minor", h->device); return SUCCESS; }

int hlml_device_get_pci_info(Handle *h, Pci *out) {
  ENTER_HANDLE(h);
  memset(out, 0, sizeof *out);
  out->bus = 0x19u + (unsigned)h->device;
  snprintf(out->bus_id, sizeof out->bus_id, "0000:%02X:00.0", out->bus);
  out->device = 0x1020;
  return SUCCESS;
}

int hlml_device_get_utilization_rates(Handle *h, Utilization *out) {
  ENTER_HANDLE(h);
#ifndef OLD_RELEASE
  out->memory = (unsigned)script_number(h->device, "memory_busy", 0);
#endif
  return answer(h, "busy", &out->aip);
}

int hlml_device_get_memory_info(Handle *h, Memory *out) {
  ENTER_HANDLE(h);
  out->total = (unsigned long long)script_number(h->device, "memory_total", 103079215104.0);
  out->used = (unsigned long long)script_number(h->device, "memory_used", 0);
  out->free = out->total - out->used;
  return SUCCESS;
}

int hlml_device_get_temperature(Handle *h, unsigned sensor, unsigned *out) { ENTER_HANDLE(h); return answer_numbered(h, "temperature", sensor, out) ? INVALID_ARGUMENT : SUCCESS; }
int hlml_device_get_temperature_threshold(Handle *h, unsigned kind, unsigned *out) { ENTER_HANDLE(h); return answer_numbered(h, "threshold", kind, out); }
int hlml_device_get_power_usage(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer(h, "power", out); }
int hlml_device_get_power_management_default_limit(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer(h, "power_default", out); }
int hlml_device_get_clock_info(Handle *h, unsigned type, unsigned *out) { ENTER_HANDLE(h); return type ? INVALID_ARGUMENT : answer(h, "clock", out); }
int hlml_device_get_max_clock_info(Handle *h, unsigned type, unsigned *out) { ENTER_HANDLE(h); return type ? INVALID_ARGUMENT : answer(h, "clock_max", out); }

int hlml_device_get_total_ecc_errors(Handle *h, unsigned kind, unsigned counter, unsigned long long *out) {
  unsigned found;
  ENTER_HANDLE(h);
  if (counter || answer_numbered(h, "ecc", kind, &found)) return NOT_SUPPORTED;
  *out = found;
  return SUCCESS;
}

int hlml_event_set_create(void **out) { ENTER(SCRIPT_LIBRARY); *out = malloc(8); return SUCCESS; }
int hlml_event_set_free(void *set) { ENTER(SCRIPT_LIBRARY); free(set); return SUCCESS; }
int hlml_device_register_events(Handle *h, unsigned long long bits, void *set) { ENTER_HANDLE(h); return bits && set ? SUCCESS : INVALID_ARGUMENT; }

int hlml_event_set_wait(void *set, Event *out, unsigned timeout_ms) {
  static int delivered;
  if (!set) return INVALID_ARGUMENT;
  for (unsigned waited = 0;; waited += 5) {
    ENTER(SCRIPT_LIBRARY);
    char name[32];
    snprintf(name, sizeof name, "event.%d", delivered + 1);
    const char *line = script_text(SCRIPT_LIBRARY, name);
    if (line) {
      char *rest;
      long device = strtol(line, &rest, 10);
      *out = (Event){device < 0 ? NULL : &handles[device], strtoull(rest + 1, NULL, 0)};
      delivered++;
      return SUCCESS;
    }
    if (waited >= timeout_ms) return TIMEOUT;
    struct timespec pause = {0, 5000000};
    nanosleep(&pause, NULL);
  }
}

#ifndef OLD_RELEASE
static int version(char *out, unsigned length) { snprintf(out, length, "1.24.1-3d6a32b"); return SUCCESS; }
int hlml_get_driver_version(char *out, unsigned length) { ENTER(SCRIPT_LIBRARY); return version(out, length); }
int hlml_get_fw_os_version(Handle *h, char *out, unsigned length) { ENTER_HANDLE(h); snprintf(out, length, "hl-gaudi2-1.24"); return SUCCESS; }

int hlml_device_get_power_management_limit(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer(h, "power_limit", out); }
int hlml_device_get_total_energy_consumption(Handle *h, unsigned long long *out) {
  double found;
  ENTER_HANDLE(h);
  if (!script_has(h->device, "energy", &found)) return NOT_SUPPORTED;
  *out = (unsigned long long)found;
  return SUCCESS;
}
int hlml_device_get_current_clocks_throttle_reasons(Handle *h, unsigned long long *out) {
  unsigned found;
  ENTER_HANDLE(h);
  if (answer(h, "reasons", &found)) return NOT_SUPPORTED;
  *out = found;
  return SUCCESS;
}
int hlml_device_get_replaced_rows(Handle *h, unsigned cause, unsigned *count, void *addresses) { ENTER_HANDLE(h); return addresses ? INVALID_ARGUMENT : answer_numbered(h, "rows", cause, count); }
int hlml_device_get_replaced_rows_pending_status(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer(h, "pending", out); }
int hlml_device_get_pcie_replay_counter(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer(h, "replay", out); }
int hlml_device_get_curr_pcie_link_width(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer(h, "width", out); }
int hlml_device_get_curr_pcie_link_generation(Handle *h, unsigned *out) { ENTER_HANDLE(h); return answer(h, "generation", out); }

int hlml_get_mac_addr_info(Handle *h, uint64_t *mask, uint64_t *external) {
  ENTER_HANDLE(h);
  const char *text = script_text(h->device, "ports");
  if (!text) return NOT_SUPPORTED;
  mask[0] = strtoull(text, NULL, 0);
  mask[1] = external[1] = 0;
  external[0] = mask[0] & 7;
  return SUCCESS;
}

int hlml_nic_get_link(Handle *h, uint32_t port, bool *up) {
  char key[32];
  ENTER_HANDLE(h);
  snprintf(key, sizeof key, "port.%u", port);
  *up = script_number(h->device, key, 1) > 0;
  return SUCCESS;
}
#endif
