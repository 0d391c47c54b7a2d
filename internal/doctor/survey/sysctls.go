package survey

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/regfile"
)

// sysctlDirs have the files that set kernel parameters at boot (sysctl.d(5)). A file of an earlier
// directory replaces that of the same name in a later one.
var sysctlDirs = []string{"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d",
	"/lib/sysctl.d"}

// sysctlFiles finds out what files set, in the order in which it counts.
func (c *collector) sysctlFiles() {
	for _, path := range append(sysctlPaths(sysctlDirs), "/etc/sysctl.conf", ufwSysctls()) {
		if text, err := regfile.ReadText(path); err == nil {
			c.SysctlFiles = append(c.SysctlFiles, ParseSysctls(path, string(text))...)
		}
	}
}

// sysctlPaths returns the files of all directories, ordered by their names.
func sysctlPaths(dirs []string) (paths []string) {
	byName := make(map[string]string)
	for _, dir := range dirs {
		found, _ := filepath.Glob(filepath.Join(dir, "*.conf"))
		for _, path := range found {
			if name := filepath.Base(path); byName[name] == "" {
				byName[name] = path
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		paths = append(paths, byName[name])
	}
	return paths
}

// ufwSysctls returns the file that ufw applies when it starts, "" if it is not enabled.
func ufwSysctls() string {
	if !ufwEnabled() {
		return ""
	}
	return "/etc/ufw/sysctl.conf"
}

func ufwEnabled() bool {
	text, _ := regfile.ReadText("/etc/ufw/ufw.conf")
	return strings.EqualFold(valueOf(string(text), "ENABLED"), "yes")
}

// ParseSysctls reads a file as systemd-sysctl does.
func ParseSysctls(path, text string) (settings []doctor.SysctlSetting) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(strings.TrimPrefix(line, "-"), "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		settings = append(settings,
			doctor.SysctlSetting{Key: sysctlPath(strings.TrimSpace(key)), Value: strings.TrimSpace(value), File: path})
	}
	return settings
}

// sysctlPath is a key with slashes. Whichever separator comes first is one.
func sysctlPath(key string) string {
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		return strings.NewReplacer(".", "/", "/", ".").Replace(key)
	}
	return key
}
