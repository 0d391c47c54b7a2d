package suite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"vxlan-driver/lab"
)

// measureStarts measures netavark's setup and teardown. Each scenario has a host of its own, so
// that they do not affect each other. Each round measures all scenarios, so that any two can be
// compared pair by pair.
func (s *Suite) measureStarts(ctx context.Context) (r Result, err error) {
	scenarios := startScenarios(s.Quick)
	l, err := s.startLab(ctx, "", len(scenarios), s.Agent)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s.logf("start: filling %d hosts with containers", len(scenarios))
	if err := prepareHosts(ctx, scenarios, l.Hosts(), l.Host("outside")); err != nil {
		return r, err
	}
	s.logf("start: measuring")
	const warmUp = 2
	for i := range s.roundCount(20, 15) + warmUp {
		for j := range scenarios {
			// Each round begins with another scenario: the kernel may still be busy after the last
			// podman run.
			sc := scenarios[(i+j)%len(scenarios)]
			if i == warmUp {
				sc.discardWarmUp()
			}
			if err := sc.measureCycle(); err != nil {
				return r, err
			}
		}
		for _, sc := range podmanScenarios(scenarios) {
			if err := sc.runPodman(); err != nil {
				return r, err
			}
		}
	}
	return startResult(scenarios, s.Quick), nil
}

// startScenarios returns scenarios that vary one thing at a time. Without other containers the
// network's devices come and go as well. Networks have DNS, which is Podman's default, unless
// noDNS.
func startScenarios(quick bool) []*scenario {
	if quick {
		return []*scenario{
			{driver: driverVXLAN, otherContainers: 1, remotes: 3}, {driver: driverBridge, otherContainers: 1},
			{driver: driverVXLAN, otherContainers: 100, remotes: 3}, {driver: driverVXLAN, otherContainers: 1, ports: 5,
				remotes: 3},
		}
	}
	var scenarios []*scenario
	for _, others := range []int{0, 1, 50, 500} {
		scenarios = append(scenarios, &scenario{driver: driverVXLAN, otherContainers: others, remotes: 3},
			&scenario{driver: driverBridge, otherContainers: others})
	}
	scenarios = append(scenarios, &scenario{driver: driverVXLAN, otherContainers: 1, ports: 5, remotes: 3},
		&scenario{driver: driverBridge, otherContainers: 1, ports: 5})
	for _, remotes := range []int{100, 1000} {
		scenarios = append(scenarios, &scenario{driver: driverVXLAN, otherContainers: 0, remotes: remotes},
			&scenario{driver: driverVXLAN, otherContainers: 1, remotes: remotes})
	}
	for _, others := range []int{0, 1} {
		scenarios = append(scenarios, &scenario{driver: driverVXLAN, otherContainers: others, remotes: 3, noDNS: true},
			&scenario{driver: driverBridge, otherContainers: others, noDNS: true},
			&scenario{driver: driverVXLAN, otherContainers: others, remotes: 1000, noDNS: true})
	}
	return append(scenarios, &scenario{driver: driverVXLAN, otherContainers: 500, remotes: 3, noDNS: true})
}

// podmanScenarios returns the scenarios in which a whole `podman run` is measured.
func podmanScenarios(scenarios []*scenario) (some []*scenario) {
	for _, l := range scenarios {
		if l.otherContainers == 1 && l.ports == 0 && l.remotes <= 3 {
			some = append(some, l)
		}
	}
	return some
}

// findScenario returns the scenario with the same parameters, or nil.
func findScenario(scenarios []*scenario, want scenario) *scenario {
	for _, l := range scenarios {
		if l.driver == want.driver && l.otherContainers == want.otherContainers && l.ports == want.ports &&
			l.remotes == want.remotes && l.noDNS == want.noDNS {
			return l
		}
	}
	return nil
}

// prepareHosts gives each scenario one of the hosts. Flooded packets go to the gateway.
func prepareHosts(ctx context.Context, scenarios []*scenario, hosts []*lab.Host, gateway *lab.Host) error {
	var wait sync.WaitGroup
	errs := make([]error, len(scenarios))
	for i, sc := range scenarios {
		sc.host = hosts[i]
		wait.Go(func() {
			if errs[i] = sc.prepareHost(ctx, gateway); errs[i] != nil {
				errs[i] = fmt.Errorf("prepare %s: %w", sc, errs[i])
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
