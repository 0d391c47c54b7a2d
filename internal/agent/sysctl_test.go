package agent

import (
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
)

// A parameter that somebody changes is put back: at once where the kernel reports the change, and
// else within a minute.
func TestParametersArePutBack(t *testing.T) {
	for key, reported := range map[string]bool{
		"net/ipv4/ip_forward":              true,
		"net/ipv4/conf/br-blue/forwarding": true,
		"net/ipv6/conf/br-blue/accept_ra":  false,
	} {
		t.Run(key, func(t *testing.T) {
			withAgent(t, func(t *testing.T, r *rig) {
				r.start()
				r.setup(1)
				r.storeChanged()
				sleep(unreportedInterval / 2) // the turns that follow from the start are over
				value := func() string {
					r.mu.Lock()
					defer r.mu.Unlock()
					got, err := r.kernel.HostNamespace().Sysctl(key)
					if err != nil {
						t.Fatal(err)
					}
					return got
				}
				want := value()
				r.mu.Lock()
				err := r.kernel.HostNamespace().Apply(kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: key, Value: "7"}}})
				r.mu.Unlock()
				if err != nil {
					t.Fatal(err)
				}
				wait := unreportedInterval
				if reported {
					r.kernelEvents <- struct{}{}
					wait = time.Second
				}
				sleep(wait)
				if got := value(); got != want {
					t.Errorf("it is %s, was %s", got, want)
				}
				r.finish()
			})
		})
	}
}
