package agent

import (
	"strings"
	"testing"
)

// allowedUsers are those that the firewall lets send.
func (r *rig) allowedUsers() string {
	var users []string
	for _, line := range r.firewall() {
		if _, user, ok := strings.Cut(line, "allowed_users: "); ok {
			users = append(users, user)
		}
	}
	return strings.Join(users, " ")
}

// Whom the configuration allows the agent lets the firewall know, and the plugin sets the same also when
// the agent has ended. An agent with another configuration changes it. A user who is missing is not
// allowed, and does not keep the others from it.
func TestAllowedUsersReachTheFirewall(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		for _, tt := range []struct {
			allow    []string
			want     string
			warnings int
		}{
			{nil, "", 0},
			{[]string{"1000", "no such user", "993"}, "1000 993", 1},
			{[]string{"993"}, "993", 1},
		} {
			r.Config.AllowUsers = tt.allow
			r.restartAgent()
			if got := r.allowedUsers(); got != tt.want {
				t.Errorf("allow %q: the firewall has %q, want %q", tt.allow, got, tt.want)
			}
			if n := strings.Count(r.log.String(), "some users are not allowed"); n != tt.warnings {
				t.Errorf("allow %q: %d warnings", tt.allow, n)
			}
		}
		r.kernel.HostNamespace().FlushRuleset()
		r.setup(2)
		if got := r.allowedUsers(); got != "993" {
			t.Errorf("a start without an agent sets %q", got)
		}
	})
}

// restartAgent runs a new agent for a while, with the same log.
func (r *rig) restartAgent() {
	again := &Agent{
		Host: r.Host, Config: r.Config, Names: r.Names, Process: r.Process, Plane: r.Plane,
		ResolvConf: r.ResolvConf, Version: r.Version, Log: r.Log,
	}
	r.Agent = again
	r.startIdle()
	r.finish()
}
