package gateway

import (
	"math"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// validation is the rules for documents. The library lets some literals pass
// for which a service would refuse all that it is asked with them.
func validation() *rules.Rules {
	all := rules.NewDefaultRules()
	all.AddRule("LiteralsFit", literalsFit)
	return all
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
