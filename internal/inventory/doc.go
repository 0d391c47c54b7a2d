// Package inventory says in detail what is on networks: for people who ask the agent, and for the
// tool where there is none.
package inventory
