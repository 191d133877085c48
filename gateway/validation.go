package gateway

import (
	"math"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

const (
	// A document with more errors, or with a longer name in it, is told no names
	// that may have been meant: finding them takes time that grows with the
	// length of a name and of all that there are, a minute for one of a megabyte.
	suggestedErrors = 5
	suggestedName   = 64
)

// validate checks a document, and says what may have been meant if that is
// found soon.
func (s *Schema) validate(text string, doc *ast.QueryDocument) gqlerror.List {
	errs := validator.ValidateWithRules(s.ast, doc, validation(false))
	if len(errs) == 0 || len(errs) > suggestedErrors || s.cfg.hide || longestName(text) > suggestedName {
		return errs
	}
	return validator.ValidateWithRules(s.ast, doc, validation(true))
}

// validation is the rules for documents. The library lets some literals pass
// for which a service would refuse all that it is asked with them.
func validation(suggesting bool) *rules.Rules {
	all := rules.NewDefaultRules()
	if !suggesting {
		for _, rule := range []core.Rule{
			rules.FieldsOnCorrectTypeRuleWithoutSuggestions, rules.KnownArgumentNamesRuleWithoutSuggestions,
			rules.KnownTypeNamesRuleWithoutSuggestions, rules.ValuesOfCorrectTypeRuleWithoutSuggestions,
		} {
			all.ReplaceRule(strings.TrimSuffix(rule.Name, "WithoutSuggestions"), rule.RuleFunc)
		}
	}
	all.AddRule("LiteralsFit", literalsFit)
	return all
}

func longestName(text string) int {
	longest, start := 0, 0
	for i, c := range []byte(text) {
		if c != '_' && !isDigit(c) && (c|0x20 < 'a' || 'z' < c|0x20) {
			start = i + 1
		}
		longest = max(longest, i+1-start)
	}
	return longest
}

// literalsFit refuses objects for what is no input object, and integers that no
// Int can hold (GraphQL §5.6.1, §3.5.1).
func literalsFit(observers *core.Events, addError core.AddErrFunc) {
	observers.OnValue(func(_ *core.Walker, v *ast.Value) {
		d := v.Definition
		if d == nil || v.ExpectedType == nil || d.Kind != ast.Enum && !(d.Kind == ast.Scalar && d.BuiltIn) {
			return
		}
		tooLarge := v.Kind == ast.IntValue && d.Name == "Int" && !isWhole([]byte(v.Raw), math.MinInt32, math.MaxInt32)
		if tooLarge || v.Kind == ast.ObjectValue {
			addError(core.Message("%s cannot represent %s.", d.Name, excerpt([]byte(v.String()))), core.At(v.Position))
		}
	})
}
