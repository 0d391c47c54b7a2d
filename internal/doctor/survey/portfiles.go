package survey

import (
	"fmt"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/regfile"
)

// portFiles finds files of the driver that open too few ports of the firewall that reads them: copies
// of an older version. Only the first file that exists counts.
func (c *collector) portFiles() {
	if c.Zones != nil {
		const service = "/firewalld/services/podman-vxlan.xml"
		c.addPortFile("/etc"+service, "/usr/local/lib"+service, "/usr/lib"+service)
	}
	if ufwEnabled() {
		c.addPortFile("/etc/ufw/applications.d/podman-vxlan")
	}
}

func (c *collector) addPortFile(paths ...string) {
	for _, path := range paths {
		text, err := regfile.ReadText(path)
		if err != nil {
			continue
		}
		if f, lacks := LackingPort(path, string(text)); lacks {
			c.PortFiles = append(c.PortFiles, f)
		}
		return
	}
}

// joinPort is where an agent lets hosts in that have a token, unless vxland.toml says otherwise.
const joinPort = "7949"

// LackingPort tells whether a file does not open the port on which hosts join.
func LackingPort(path, text string) (f doctor.PortFile, lacks bool) {
	f = doctor.PortFile{Path: path, Port: joinPort + "/tcp"}
	if strings.HasSuffix(path, ".xml") {
		add := "firewall-cmd --permanent --service=podman-vxlan --add-port=" + f.Port
		f.Mend = []string{add, "firewall-cmd --reload", "vxlanctl reload"}
		return f, !strings.Contains(text, `port="`+joinPort+`"`)
	}
	f.Mend = []string{fmt.Sprintf(`sed -i 's/^ports=.*/&|%s\/tcp/' %s`, joinPort, path), "ufw app update podman-vxlan"}
	return f, !strings.Contains(valueOf(text, "ports"), joinPort)
}
