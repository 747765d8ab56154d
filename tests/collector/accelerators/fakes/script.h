/*
 * What a fake vendor library says is written in a file beside it: `<library>.script`, lines `key=value`, read again
 * whenever the file was changed.
 *
 *   devices=8                       a number for the library as a whole
 *   dev.temperature=40              the same for every device
 *   dev3.temperature=55             for device 3 alone
 *   dev0.energy=1000+300            1000 at first, 300 more in every second since the library was loaded
 *   error.nvmlInitWithFlags=9       a call into the library fails with this code
 *   dev2.error.nvmlDeviceGetUUID=15 a call about device 2 fails
 *   dev2.error=15                   every call about device 2 fails
 *   dev1.hang=1                     every call about device 1 hangs until the line is gone
 *   dev1.hang.nvmlGpmSampleGet=1    one call hangs; without `dev1.` for the library as a whole
 *
 * A library calls script_enter() first in every function, and returns what that returns unless it is 0.
 */
#ifndef SCRIPT_H
#define SCRIPT_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define SCRIPT_SLOTS 16384
#define SCRIPT_LIBRARY (-1) /* in place of a device's number: the library as a whole */

static pthread_mutex_t script_lock = PTHREAD_MUTEX_INITIALIZER;
static char script_path[4096];
static char *script_body;
static struct { const char *key, *value; } script_slots[SCRIPT_SLOTS];
static struct timespec script_changed, script_looked, script_began;
static off_t script_size = -1;
static ino_t script_inode;
static int script_has_errors, script_has_hangs;

static unsigned script_hash(const char *text) {
  unsigned hash = 2166136261u;
  for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 16777619u;
  return hash % SCRIPT_SLOTS;
}

static void script_parse(void) {
  memset(script_slots, 0, sizeof script_slots);
  script_has_errors = strstr(script_body, "error") != NULL;
  script_has_hangs = strstr(script_body, "hang") != NULL;
  char *rest = NULL;
  for (char *line = strtok_r(script_body, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    char *equals = strchr(line, '=');
    if (!equals || *line == '#') continue;
    *equals = 0;
    unsigned slot = script_hash(line);
    while (script_slots[slot].key && strcmp(script_slots[slot].key, line)) slot = (slot + 1) % SCRIPT_SLOTS;
    script_slots[slot].key = line;
    script_slots[slot].value = equals + 1;
  }
}

/* Looks at the file at most every 5 ms. Called with the lock held. */
static void script_refresh(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (!script_path[0]) {
    Dl_info info;
    if (dladdr((void *)script_refresh, &info)) snprintf(script_path, sizeof script_path, "%s.script", info.dli_fname);
    script_began = now;
  } else if ((now.tv_sec - script_looked.tv_sec) * 1000000000L + now.tv_nsec - script_looked.tv_nsec < 5000000L) {
    return;
  }
  script_looked = now;
  struct stat found;
  if (stat(script_path, &found)) return;
  if (found.st_size == script_size && found.st_ino == script_inode &&
      !memcmp(&found.st_mtim, &script_changed, sizeof script_changed))
    return;
  FILE *file = fopen(script_path, "r");
  if (!file) return;
  char *body = malloc((size_t)found.st_size + 1); /* the old one stays: values of it may be in use */
  size_t read = fread(body, 1, (size_t)found.st_size, file);
  fclose(file);
  body[read] = 0;
  script_body = body;
  script_size = found.st_size;
  script_changed = found.st_mtim;
  script_inode = found.st_ino;
  script_parse();
}

static const char *script_find(const char *key) {
  for (unsigned slot = script_hash(key); script_slots[slot].key; slot = (slot + 1) % SCRIPT_SLOTS)
    if (!strcmp(script_slots[slot].key, key)) return script_slots[slot].value;
  return NULL;
}

/* The text for a device, for all devices, or NULL; a name may be followed by a second part. */
static const char *script_text2(int device, const char *name, const char *second) {
  char key[256];
  const char *dot = second ? "." : "", *end = second ? second : "", *value = NULL;
  pthread_mutex_lock(&script_lock);
  script_refresh();
  if (device == SCRIPT_LIBRARY) {
    snprintf(key, sizeof key, "%s%s%s", name, dot, end);
    value = script_find(key);
  } else {
    snprintf(key, sizeof key, "dev%d.%s%s%s", device, name, dot, end);
    value = script_find(key);
    if (!value) {
      snprintf(key, sizeof key, "dev.%s%s%s", name, dot, end);
      value = script_find(key);
    }
  }
  pthread_mutex_unlock(&script_lock);
  return value;
}

static inline const char *script_text(int device, const char *name) { return script_text2(device, name, NULL); }

static double script_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)(now.tv_sec - script_began.tv_sec) + (double)(now.tv_nsec - script_began.tv_nsec) / 1e9;
}

/* Whether there is a number, and which. */
static int script_has(int device, const char *name, double *number) {
  const char *text = script_text(device, name);
  if (!text) return 0;
  char *end;
  *number = strtod(text, &end);
  if (*end == '+') *number += strtod(end + 1, NULL) * script_seconds();
  return 1;
}

static inline double script_number(int device, const char *name, double otherwise) {
  double number;
  return script_has(device, name, &number) ? number : otherwise;
}

static int script_is_set(int device, const char *name, const char *call) {
  const char *text = call ? script_text2(device, name, call) : script_text(device, name);
  return text ? atoi(text) : 0;
}

/* Hangs while the script says so, then tells the code with which the call is to fail; 0: it is to go well. */
static int script_enter(int device, const char *call) {
  if (!script_path[0]) script_text(SCRIPT_LIBRARY, "");
  pthread_mutex_lock(&script_lock);
  script_refresh();
  int errors = script_has_errors, hangs = script_has_hangs;
  pthread_mutex_unlock(&script_lock);
  while (hangs && (script_is_set(device, "hang", call) || (device >= 0 && script_is_set(device, "hang", NULL)))) {
    struct timespec pause = {0, 10000000};
    nanosleep(&pause, NULL);
  }
  if (!errors) return 0;
  int code = script_is_set(device, "error", call);
  if (!code && device >= 0) code = script_is_set(device, "error", NULL);
  return code;
}
#endif
