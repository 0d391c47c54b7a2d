package survey

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/installed"
	"vxlan-driver/internal/regfile"
)

const (
	auditLog    = "/var/log/audit/audit.log"
	maxAuditLog = 256 << 10 // that is read, from the end
	// denialAge is how long ago a denial counts: what was mended since shows in no log.
	denialAge = time.Hour
)

// denials finds out what SELinux or AppArmor has denied the driver's programs. Without auditd it is in
// the kernel's log.
func (c *collector) denials() {
	audited, _ := regfile.Tail(auditLog, maxAuditLog) // most hosts have none
	c.Denials = ParseDenials(kernelLog()+string(audited), time.Now())
}

// kernelLog returns the kernel's log, "" if it may not be read.
func kernelLog() string {
	const readAll, size = 3, 10 // SYSLOG_ACTION_READ_ALL, SYSLOG_ACTION_SIZE_BUFFER
	n, err := unix.Klogctl(size, nil)
	if err != nil {
		return ""
	}
	buffer := make([]byte, n)
	if n, err = unix.Klogctl(readAll, buffer); err != nil {
		return ""
	}
	return string(buffer[:n]) + "\n"
}

// ownPrograms are those that a denial concerns.
var ownPrograms = []string{"vxlan", "vxland", "vxlanctl", "netavark"}

// ParseDenials finds the last denial of each of the driver's programs.
func ParseDenials(text string, now time.Time) (found []doctor.Denial) {
	for line := range strings.Lines(text) {
		isSELinux := strings.Contains(line, "avc:  denied") && !strings.Contains(line, "permissive=1")
		if !isSELinux && !strings.Contains(line, `apparmor="DENIED"`) {
			continue
		}
		program, _ := quotedAfter(line, "comm=")
		profile, _ := quotedAfter(line, "profile=")
		_, rest, _ := strings.Cut(line, "audit(")
		seconds, _, _ := strings.Cut(rest, ".")
		at, err := strconv.ParseInt(seconds, 10, 64)
		age := now.Sub(time.Unix(at, 0))
		if err != nil || age > denialAge || !slices.Contains(ownPrograms, program) {
			continue
		}
		d := doctor.Denial{By: "AppArmor", Program: program, Text: strings.TrimSpace("audit(" + rest)}
		d.Mend = []string{fmt.Sprintf("aa-complain %s   # or allow it in the profile", profile)}
		if isSELinux {
			d.By = "SELinux"
			const allow = "ausearch -m avc -c %s --raw | audit2allow -M vxlan-local && semodule -i vxlan-local.pp   # if it " +
				"goes on"
			d.Mend = []string{
				fmt.Sprintf("restorecon -RFv %s %s %s /run/vxlan /etc/vxlan", installed.Path("libexec/netavark"),
					installed.Path("libexec/vxlan"), installed.Path("bin/vxlanctl")),
				fmt.Sprintf(allow, program),
			}
		}
		found = append(slices.DeleteFunc(found, func(o doctor.Denial) bool { return o.Program == program && o.By == d.By }),
			d)
	}
	return found
}
