# The Makefile's recipes for those who type `just`.

default: all

all *args:
    @make all {{args}}

build *args:
    @make build {{args}}

test *args:
    @make test {{args}}

lint *args:
    @make lint {{args}}

pretrain *args:
    @make pretrain {{args}}

clean-out *args:
    @make clean-out {{args}}
