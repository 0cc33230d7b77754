# The short way to everything. The build itself is Meson's: meson.build.
BUILD ?= build
PREFIX ?= /usr/local
SECONDS_EACH ?= 600

.PHONY: all demo demo-model bench check install sanitize threads fuzz format clean packages

all: packages $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

packages:
	@tools/install-packages

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix=$(PREFIX) >/dev/null

# Every story on an unseen synthetic case, beside what is true; ward-demo/index.html shows it too.
demo: all
	@$(BUILD)/src/cli/ward demo

# Trains models/demo and models/demo-text again from synthetic cases: hours (tools/demo-model/make says how many).
demo-model: all
	@tools/demo-model/make

# What this machine can do and how much of it Ward gets, on random weights: about ten minutes (bench/run; bench/vs compares).
bench: all
	@bench/run $(BUILD)/src/cli/ward

# Everything: checkers, all tests, all again under ASan and UBSan, those with threads under TSan (clang). Ends in "N passed, N failed".
check: packages
	@tools/check

install: all
	@meson install -C $(BUILD)

sanitize: packages
	@tools/check --only sanitize

threads: packages
	@tools/check --only threads

# Every fuzz target for SECONDS_EACH seconds, or one: make fuzz TARGET=dicom SECONDS_EACH=60
fuzz: packages
	@tools/fuzz $(SECONDS_EACH) $(TARGET)

format:
	@tools/check-format --fix

clean:
	@rm -rf build build-asan build-tsan build-fuzz
