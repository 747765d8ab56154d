/*
 * libdcmi.so without an NPU: says what its script says (script.h). cards=<number> with chips=<number> NPUs each (1 when
 * not said) and a micro-controller behind them; device 0 is chip 0 of the first card, and so on through all cards. Card
 * ids begin at 10, physical ids at physical=<number>.
 *
 * What the script does not say, the device does not support. Device keys: health, codes (hexadecimal, comma between),
 * words.<code>, multi (npu,aic,aiv,aicore), rate.<type>, hbm (total,used,MHz,Celsius,percent), ddr (total,free,MHz),
 * temperature, power, card_power, frequency.<type>, ecc.<type> (enabled,SBE,DBE,total,total,pages,pages,next,next),
 * hccs64 and hccs32 (crc,retry of each of four ports), network, processes (pid:bytes,...), die (five numbers), chip,
 * npu, serial, unit (1: no NPU). With OLD_LIBRARY defined, one that lacks what newer ones have.
 */
#include "script.h"

#define OK 0
#define INVALID_PARAMETER (-8001)
#define INVALID_DEVICE_ID (-8007)
#define NOT_SUPPORT (-8255)
#define FIRST_CARD 10

struct dcmi_chip_info_v2 { unsigned char type[32], name[32], version[32]; unsigned aicore_cnt; unsigned char npu_name[32]; };
struct dcmi_pcie_info_all { unsigned vender, subvender, device, subdevice; int domain; unsigned bus, slot, function; unsigned char reserve[32]; };
struct dcmi_die_id { unsigned soc_die[5]; };
struct dcmi_ecc_info { int enable; unsigned counts[8]; };
struct dcmi_hbm_info { unsigned long long size; unsigned freq; unsigned long long usage; int temp; unsigned bandwidth; };
struct dcmi_memory_info { unsigned long long size, available; unsigned freq; unsigned long huge[3]; unsigned utiliza; unsigned char reserve[60]; };
struct dcmi_multi_utilization_info { unsigned aic, aiv, aicore, npu, reserved[8]; };
struct dcmi_proc_mem_info { int pid; unsigned long bytes; };
struct dcmi_elabel_info { char product[256], model[256], manufacturer[256], date[256], serial[256]; };
struct dcmi_hccs { unsigned tx[16], rx[16], crc[16], retry[16], reserved[64]; };
struct dcmi_hccs_u64 { unsigned long long tx[16], rx[16], crc[16], retry[16], reserved[64]; };

_Static_assert(sizeof(struct dcmi_chip_info_v2) == 132 && sizeof(struct dcmi_pcie_info_all) == 64, "sizes");
_Static_assert(sizeof(struct dcmi_die_id) == 20 && sizeof(struct dcmi_ecc_info) == 36, "sizes");
_Static_assert(sizeof(struct dcmi_hbm_info) == 32 && sizeof(struct dcmi_memory_info) == 112, "sizes");
_Static_assert(sizeof(struct dcmi_multi_utilization_info) == 48 && sizeof(struct dcmi_proc_mem_info) == 16, "sizes");
_Static_assert(sizeof(struct dcmi_elabel_info) == 1280 && sizeof(struct dcmi_hccs) == 512, "sizes");
_Static_assert(sizeof(struct dcmi_hccs_u64) == 1024, "sizes");

static int cards(void) { return (int)script_number(SCRIPT_LIBRARY, "cards", 1); }
static int chips(void) { return (int)script_number(SCRIPT_LIBRARY, "chips", 1); }
static int device_of(int card, int chip) {
  card -= FIRST_CARD;
  return card < 0 || card >= cards() || chip < 0 || chip >= chips() ? -1 : card * chips() + chip;
}

#define ENTER_LIBRARY() do { int code_ = script_enter(SCRIPT_LIBRARY, __func__); if (code_) return code_; } while (0)
#define ENTER_CARD(card) \
  do { \
    if ((card) < FIRST_CARD || (card) >= FIRST_CARD + cards()) return INVALID_DEVICE_ID; \
    int code_ = script_enter(((card) - FIRST_CARD) * chips(), __func__); \
    if (code_) return code_; \
  } while (0)
#define ENTER(card, chip) \
  int d = device_of(card, chip); \
  do { \
    if (d < 0) return INVALID_DEVICE_ID; \
    int code_ = script_enter(d, __func__); \
    if (code_) return code_; \
  } while (0)

/* Up to `most` numbers with a comma between them; how many there are. */
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

static int answer_unsigned(int device, const char *name, unsigned *out) {
  double number;
  if (!script_has(device, name, &number)) return NOT_SUPPORT;
  *out = (unsigned)(long long)number;
  return OK;
}

static int answer_int(int device, const char *name, int *out) { return answer_unsigned(device, name, (unsigned *)out); }

static int answer_typed(int device, const char *name, int type, unsigned *out) {
  char key[48];
  snprintf(key, sizeof key, "%s.%d", name, type);
  return answer_unsigned(device, key, out);
}

static void put_text(int device, const char *name, const char *otherwise, void *out, size_t room) {
  const char *text = script_text(device, name);
  snprintf(out, room, "%s", text ? text : otherwise);
}

int dcmi_init(void) { ENTER_LIBRARY(); return OK; }

int dcmi_get_driver_version(char *out, unsigned room) {
  ENTER_LIBRARY();
  put_text(SCRIPT_LIBRARY, "driver_version", "24.1.rc3", out, room);
  return OK;
}

int dcmi_get_card_list(int *count, int *list, int room) {
  ENTER_LIBRARY();
  *count = cards();
  for (int i = 0; i < *count && i < room; i++) list[i] = FIRST_CARD + i;
  return OK;
}

int dcmi_get_device_num_in_card(int card, int *out) { ENTER_CARD(card); *out = chips(); return OK; }
int dcmi_get_device_id_in_card(int card, int *most, int *mcu, int *cpu) { ENTER_CARD(card); *most = chips(); *mcu = chips(); *cpu = -1; return OK; }
int dcmi_get_device_type(int card, int chip, int *out) { ENTER(card, chip); *out = (int)script_number(d, "unit", 0); return OK; }
int dcmi_get_device_logic_id(int *out, int card, int chip) { ENTER(card, chip); *out = d; return OK; }
int dcmi_get_device_phyid_from_logicid(unsigned logic, unsigned *out) {
  ENTER_LIBRARY();
  *out = logic + (unsigned)script_number(SCRIPT_LIBRARY, "physical", 0);
  return OK;
}

int dcmi_get_device_chip_info(int card, int chip, void *out) {
  ENTER(card, chip);
  struct dcmi_chip_info_v2 *info = out; /* without the last name */
  snprintf((char *)info->type, 32, "Ascend");
  put_text(d, "chip", "910B3", info->name, 32);
  snprintf((char *)info->version, 32, "V1");
  info->aicore_cnt = 20;
  return OK;
}

int dcmi_get_device_pcie_info_v2(int card, int chip, struct dcmi_pcie_info_all *out) {
  ENTER(card, chip);
  memset(out, 0, sizeof *out);
  out->bus = 0xc0u + (unsigned)d;
  return OK;
}

int dcmi_get_card_elabel_v2(int card, struct dcmi_elabel_info *out) {
  ENTER_CARD(card);
  memset(out, 0, sizeof *out);
  put_text((card - FIRST_CARD) * chips(), "serial", "NA", out->serial, sizeof out->serial);
  return OK;
}

int dcmi_get_device_health(int card, int chip, unsigned *out) { ENTER(card, chip); return answer_unsigned(d, "health", out); }

int dcmi_get_device_errorcode_v2(int card, int chip, int *count, unsigned *out, unsigned room) {
  ENTER(card, chip);
  const char *text = script_text(d, "codes");
  if (!text) return NOT_SUPPORT;
  *count = 0;
  while (text && *text && (unsigned)*count < room) {
    char *end;
    out[(*count)++] = (unsigned)strtoul(text, &end, 16);
    text = *end == ',' ? end + 1 : NULL;
  }
  return OK;
}

int dcmi_get_device_utilization_rate(int card, int chip, int type, unsigned *out) { ENTER(card, chip); return answer_typed(d, "rate", type, out); }
int dcmi_get_device_temperature(int card, int chip, int *out) { ENTER(card, chip); return answer_int(d, "temperature", out); }
int dcmi_get_device_power_info(int card, int chip, int *out) { ENTER(card, chip); return answer_int(d, "power", out); }
int dcmi_mcu_get_power_info(int card, int *out) { ENTER_CARD(card); return answer_int((card - FIRST_CARD) * chips(), "card_power", out); }
int dcmi_get_device_frequency(int card, int chip, int type, unsigned *out) { ENTER(card, chip); return answer_typed(d, "frequency", type, out); }
int dcmi_get_device_network_health(int card, int chip, unsigned *out) { ENTER(card, chip); return answer_unsigned(d, "network", out); }

int dcmi_get_device_hbm_info(int card, int chip, struct dcmi_hbm_info *out) {
  double n[5];
  ENTER(card, chip);
  if (numbers(d, "hbm", n, 5) < 5) return NOT_SUPPORT;
  *out = (struct dcmi_hbm_info){(unsigned long long)n[0], (unsigned)n[2], (unsigned long long)n[1], (int)n[3], (unsigned)n[4]};
  return OK;
}

int dcmi_get_device_ecc_info(int card, int chip, int type, struct dcmi_ecc_info *out) {
  char key[16];
  double n[9];
  ENTER(card, chip);
  snprintf(key, sizeof key, "ecc.%d", type);
  int found = numbers(d, key, n, 9);
  if (!found) return NOT_SUPPORT;
  out->enable = (int)n[0];
  for (int i = 1; i < found; i++) out->counts[i - 1] = (unsigned)n[i]; /* older libraries end before the last two */
  return OK;
}

int dcmi_get_device_resource_info(int card, int chip, struct dcmi_proc_mem_info *out, int *count) {
  ENTER(card, chip);
  const char *text = script_text(d, "processes");
  if (!text) return NOT_SUPPORT;
  *count = 0;
  while (text && *text) {
    char *end;
    out[*count].pid = (int)strtol(text, &end, 10);
    out[(*count)++].bytes = strtoul(end + 1, &end, 10);
    text = *end == ',' ? end + 1 : NULL;
  }
  return OK;
}

int dcmi_get_device_info(int card, int chip, int command, unsigned sub, void *out, unsigned *size) {
  double n[8];
  ENTER(card, chip);
  if (command != 16 || (sub != 3 && sub != 5)) return NOT_SUPPORT;
  if (numbers(d, sub == 5 ? "hccs64" : "hccs32", n, 8) < 8) return NOT_SUPPORT;
  if (*size != (sub == 5 ? sizeof(struct dcmi_hccs_u64) : sizeof(struct dcmi_hccs))) return INVALID_PARAMETER;
  memset(out, 0, *size);
  for (int port = 0; port < 4; port++) {
    if (sub == 5) ((struct dcmi_hccs_u64 *)out)->crc[port] = (unsigned long long)(long long)n[port], ((struct dcmi_hccs_u64 *)out)->retry[port] = (unsigned long long)(long long)n[4 + port];
    else ((struct dcmi_hccs *)out)->crc[port] = (unsigned)n[port], ((struct dcmi_hccs *)out)->retry[port] = (unsigned)n[4 + port];
  }
  return OK;
}

#ifndef OLD_LIBRARY
int dcmi_get_device_die_v2(int card, int chip, int type, struct dcmi_die_id *out) {
  double n[5];
  ENTER(card, chip);
  if (type != 1) return INVALID_PARAMETER;
  if (numbers(d, "die", n, 5) == 5)
    for (int i = 0; i < 5; i++) out->soc_die[i] = (unsigned)n[i];
  else
    *out = (struct dcmi_die_id){{0x2F4B, 0xAABBCCDD, 0x1, 0x2, 0x100u + (unsigned)d}};
  return OK;
}

int dcmi_get_device_chip_info_v2(int card, int chip, struct dcmi_chip_info_v2 *out) {
  int code = dcmi_get_device_chip_info(card, chip, out);
  if (code) return code;
  put_text(device_of(card, chip), "npu", "", out->npu_name, 32);
  return OK;
}

int dcmi_get_device_errorcode_string(int card, int chip, unsigned error, unsigned char *out, int room) {
  char key[32];
  ENTER(card, chip);
  if (room < 256) return INVALID_PARAMETER;
  snprintf(key, sizeof key, "words.%08X", error);
  const char *text = script_text(d, key);
  if (!text) return NOT_SUPPORT;
  snprintf((char *)out, (size_t)room, "%s", text);
  return OK;
}

int dcmi_get_device_multi_utilization_rate(int card, int chip, struct dcmi_multi_utilization_info *out) {
  double n[4];
  ENTER(card, chip);
  if (numbers(d, "multi", n, 4) < 4) return NOT_SUPPORT;
  memset(out, 0, sizeof *out);
  out->npu = (unsigned)n[0], out->aic = (unsigned)n[1], out->aiv = (unsigned)n[2], out->aicore = (unsigned)n[3];
  return OK;
}

int dcmi_get_device_memory_info_v3(int card, int chip, struct dcmi_memory_info *out) {
  double n[3];
  ENTER(card, chip);
  if (numbers(d, "ddr", n, 3) < 3) return NOT_SUPPORT;
  memset(out, 0, sizeof *out);
  out->size = (unsigned long long)n[0], out->available = (unsigned long long)n[1], out->freq = (unsigned)n[2];
  return OK;
}
#endif
