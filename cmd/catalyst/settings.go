package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/joho/godotenv"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Annotations of a flag.
const (
	variables  = "variables"    // the variables that may set it, the newest name first
	emptyIsSet = "empty is set" // an empty variable counts too
)

// fromEnv lets variables set the flag when the command line does not.
func fromEnv(flags *pflag.FlagSet, flag string, names ...string) {
	flags.SetAnnotation(flag, variables, names)
}

// source is a place that settings come from; where follows a variable's name
// in errors.
type source struct {
	where  string
	lookup func(name string) (string, bool)
}

// readSettings gives each flag that is not on the command line the value of
// its variable: from the environment, else from .env in the working directory,
// whose values never replace the environment's.
func readSettings(cmd *cobra.Command) error {
	file, err := godotenv.Read()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unusable("write one NAME=value a line, or move the file away", "read .env: %v", err)
	}
	sources := []source{
		{"", os.LookupEnv},
		{" in .env", func(name string) (string, bool) { v, ok := file[name]; return v, ok }},
	}
	var first error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if err := setFrom(sources, f); first == nil {
			first = err
		}
	})
	return first
}

func setFrom(sources []source, f *pflag.Flag) error {
	if f.Changed {
		return nil
	}
	for _, s := range sources {
		for _, name := range f.Annotations[variables] {
			value, ok := s.lookup(name)
			if !ok || (value == "" && f.Annotations[emptyIsSet] == nil) {
				continue
			}
			if want := set(f, name, value); want != "" {
				return unusable(fmt.Sprintf("correct it, or override it with --%s", f.Name),
					"%s%s is %q: want %s", name, s.where, value, want)
			}
			return nil
		}
	}
	return nil
}

// set gives the flag the value of a variable, or says what it wants instead.
// PORT is the one variable with another form than its flag.
func set(f *pflag.Flag, name, value string) (want string) {
	if name == "PORT" {
		if _, err := strconv.ParseUint(value, 10, 16); err != nil {
			return "a port, 0 to 65535"
		}
		value = net.JoinHostPort("127.0.0.1", value)
	}
	if f.Value.Set(value) != nil {
		return wanted(f)
	}
	return ""
}

// wanted describes what a flag's value looks like.
func wanted(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "bool":
		return "true or false"
	case "duration":
		return "a duration such as 10s or 500ms"
	case "int", "uint32", "uint64":
		return "a whole number"
	case "string", "stringArray", "stringSlice":
		return "a value"
	default:
		return strings.ReplaceAll(f.Value.Type(), "|", " or ")
	}
}

// flagError words what pflag found wrong on the command line.
func flagError(cmd *cobra.Command, err error) error {
	var (
		value   *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &value):
		return misused(cmd, "--%s is %q: want %s", value.GetFlag().Name, value.GetValue(), wanted(value.GetFlag()))
	case errors.As(err, &missing):
		return misused(cmd, "--%s is given without %s", missing.GetFlag().Name, wanted(missing.GetFlag()))
	default:
		return misused(cmd, "%v", err)
	}
}

// textGiven is a text setting that knows whether anybody gave it.
type textGiven struct {
	text  *string
	given *bool
}

func (t textGiven) String() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

func (t textGiven) Set(text string) error {
	*t.text, *t.given = text, true
	return nil
}

func (textGiven) Type() string { return "string" }
