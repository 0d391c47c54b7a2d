package enrol

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is by what tokens expire.
type Clock interface {
	Now() Moment
}

// Moment is a point in time that can be told from others also after a reboot.
type Moment struct {
	Boot string        `json:"boot"` // the ID of the boot
	Up   time.Duration `json:"up"`   // since then, also while the machine was suspended
	Wall time.Time     `json:"wall"` // the time of day, which may be wrong
}

// since returns how long after m now is. Within a boot nobody can change that by setting the clock.
// After a reboot the time of day is all that there is; known is false if it contradicts itself.
func (m Moment) since(now Moment) (age time.Duration, known bool) {
	if m.Boot == now.Boot {
		return now.Up - m.Up, true
	}
	age = now.Wall.Sub(m.Wall)
	return max(age, 0), age >= 0
}

// HostClock is the clock of this machine.
type HostClock struct{}

// Now reads it.
func (HostClock) Now() Moment {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var up unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) // never fails on Linux
	return Moment{Boot: strings.TrimSpace(string(boot)), Up: time.Duration(up.Nano()), Wall: time.Now().Round(0)}
}
