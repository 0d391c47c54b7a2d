// Package config reads the agent's configuration file.
package config
