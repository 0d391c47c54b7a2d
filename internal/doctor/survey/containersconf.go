package survey

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/regfile"
)

// containersConf finds out whether containers.conf(5) leads Podman away from the plugin or the networks.
func (c *collector) containersConf() {
	if set := readContainersList("netavark_plugin_dirs", containersFiles()); set.File != "" && c.Podman.PluginDir != "" {
		has := func(dir string) bool {
			_, err := os.Stat(filepath.Join(dir, filepath.Base(pluginPath)))
			return err == nil
		}
		if !slices.ContainsFunc(set.Values, has) {
			c.Podman.Astray = append(c.Podman.Astray, set)
		}
	}
	set := readContainersList("network_config_dir", containersFiles())
	if len(set.Values) != 1 || filepath.Clean(set.Values[0]) == filepath.Clean(c.on.Host.NetworksDir) {
		return
	}
	for _, n := range c.Networks {
		if _, err := os.Stat(filepath.Join(set.Values[0], n.Name+".json")); err != nil && n.ConfigFile == "" {
			c.Podman.Astray = append(c.Podman.Astray, set)
			return
		}
	}
}

// pluginPath is where packages install the plugin.
const pluginPath = "/usr/libexec/netavark/vxlan"

// containersFiles are those of containers.conf(5), in the order in which Podman reads them.
func containersFiles() []string {
	files := []string{"/usr/share/containers/containers.conf", "/etc/containers/containers.conf"}
	more, _ := filepath.Glob("/etc/containers/containers.conf.d/*.conf")
	return append(files, more...)
}

var quoted = regexp.MustCompile(`"([^"]*)"`)

// readContainersList returns a setting that is a text or a list of texts, of which the last file counts.
// A list may have several lines.
func readContainersList(key string, files []string) (last doctor.ContainersSetting) {
	assignment := regexp.MustCompile(`(?m)^[ \t]*` + key + `[ \t]*=[ \t]*(\[[^\]]*\]|"[^"\n]*")`)
	for _, path := range files {
		text, err := regfile.ReadText(path)
		if err != nil {
			continue
		}
		for _, m := range assignment.FindAllStringSubmatch(string(text), -1) {
			last = doctor.ContainersSetting{Key: key, File: path}
			for _, q := range quoted.FindAllStringSubmatch(m[1], -1) {
				last.Values = append(last.Values, q[1])
			}
			end := fmt.Sprintf("/^[ \t]*%s/", key)
			if strings.Contains(m[0], "\n") {
				end += ",/]/"
			}
			last.Disable = fmt.Sprintf("sed -i '%s s/^/# /' %s", end, path)
		}
	}
	return last
}
