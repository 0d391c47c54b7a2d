// Package agent is the loop that keeps a host in step with its own store and with the other hosts.
//
// Each turn reads the store and what the other hosts said, and makes the kernel, the name server
// and what this host publishes match. What it remembers of earlier turns only says where to look.
// So the agent can be killed at any time.
//
// A container that starts does not wait for a turn: its DNS records are added to those of the last
// turn, and the next turn follows within milliseconds.
//
// Agent is the loop. Each other type has one job: requestBroker, schedule, clusterSet with its
// clusterMembers, peerTracker, announcer, forwarder, confirmer, tunnelProber, dnsFeed and
// statusReporter. Their methods in capitals are what the loop and the API's goroutines call.
package agent
