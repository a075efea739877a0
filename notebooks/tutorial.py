# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your first network: telling clothes apart
#
# In thirteen short steps you will load pictures, look at them, teach a small neural network to name
# what they show, and find out how far its answers can be trusted. A laptop is enough: the training
# takes well under a minute on most machines. You need some Python. You need no mathematics beyond
# averages and powers.
#
# The steps follow an earlier beginner's tutorial for Fashion-MNIST and put right what it got wrong.
# Each of those places says what the mistake was, because such mistakes are easy to make and good to
# know.

# %%
import tempfile
from pathlib import Path

import numpy as np
from IPython.display import Markdown

import lookbook
from lookbook import plots
from lookbook.cli import terminal
from lookbook.data.splits import split_validation
from lookbook.core.arrays import softmax
from lookbook.networks.classifier import build_classifier
from lookbook.recipes import TUTORIAL

# %% [markdown]
# ## S1 Load
#
# Fashion-MNIST is a set of 70,000 small grey pictures of clothes, and each comes with its right
# answer, the *label*. The network learns from 60,000 of them. The other 10,000 are the *test* part,
# an exam with questions that it has never seen. An exam is only fair if nobody prepares for its
# exact questions, so the test part has to wait until S9.

# %%
(x_train, y_train), (x_test, y_test) = lookbook.load_data("fashion-mnist")
print(x_train.shape, y_train.shape, x_test.shape, y_test.shape)

# %% [markdown]
# ## S2 Raw pixels
#
# To a computer a picture is a table of numbers. Here it has 28 rows and 28 columns, and each number
# is a grey level between 0 (nothing there) and 255 (brightest), stored in a single byte. Below is
# row 10 (counted from 0) of training picture 20,000. Looking at the raw numbers first is a good
# habit: it shows what the network really receives.

# %%
picture = x_train[20_000]
print(picture.dtype, picture.min(), picture.max())
print(*picture[10])

# %% [markdown]
# ## S3 Normalise
#
# A network multiplies its inputs by weights and adds them up. Inputs in the hundreds make those
# sums huge, and then each correction of the weights overshoots. So we map the range 0..255 to 0..1
# with (x − min) / (max − min): nothing is lost, and training is faster and steadier. The 0 and 255
# are the limits of the format, not of one picture, so all pictures are treated alike.
#
# We do it by hand only to see it. The model that we train carries this scaling inside itself, so
# nobody can forget it later.

# %%
scaled = (picture - 0) / (255 - 0)
print(*scaled[10].round(8))

# %% [markdown]
# ## S4 Labels
#
# Labels are stored as numbers from 0 to 9, and this table says what they mean. The numbers are only
# names: an ankle boot (9) is not three times a dress (3). That is why the network will give ten
# separate scores, one for each class, and not one number.

# %%
dataset = lookbook.load("fashion-mnist", "train")
Markdown(terminal.label_table(dataset.classes))

# %% [markdown]
# How many pictures each class has also matters. If nine in ten were trousers, a program that always
# says "Trouser" would be right 90 % of the time and know nothing. Here the classes are equally
# frequent, so blind guessing gets 10 %.

# %%
plots.plot_balance(dataset)

# %% [markdown]
# ## S5 One picture
#
# This is the picture whose row we read above, drawn in reversed grey: the higher the number, the
# darker the ink. Find row 10 on the left edge and compare it with the numbers of S2; the dark part
# of the row is where they pass 150.

# %%
plots.plot_picture(dataset.images[20_000], title=dataset.classes[dataset.labels[20_000]])

# %% [markdown]
# ## S6 Many pictures
#
# Look at your data before you train on it. A quick glance at twenty-five pictures finds what no
# table of numbers tells: pictures on their heads, labels that do not fit, or classes that even you
# could not keep apart. Try it: would you always know a shirt from a coat at this size?

# %%
plots.plot_pictures(dataset, 19_988)

# %% [markdown]
# ## S7 Network
#
# The picture is flattened to 784 numbers. A layer of 128 units then makes 128 weighted sums of
# them, and *ReLU* sets the negative ones to zero; without such a bend, two layers could do no more
# than one. The last layer turns the 128 values into ten scores, the *logits*: any numbers, the
# highest of which is the answer. All the weights and biases together are 101,770 numbers, and
# learning means finding good values for them.
#
# They start as random numbers, and the *seed* decides which. With the same seed you get the same
# network again on the same machine, so a result can be checked; without one, every run is a story
# that nobody can repeat.

# %%
classifier = build_classifier(TUTORIAL, x_train[:1], n_classes=10, seed=0)
print(classifier.network)
print(sum(weights.numel() for weights in classifier.network.parameters()))
print(784 * 128 + 128 + 128 * 10 + 10)

# %% [markdown]
# The *recipe* says how to train it. The network sees 32 pictures, compares its scores with the
# labels, and *Adam* moves every weight a little in the direction that makes the *loss* smaller. The
# loss is the cross-entropy, −ln of the probability given to the right class: near 0 when the
# network is sure and right, large when it is sure and wrong. Giving all ten classes the same
# probability costs ln 10 ≈ 2.30.

# %%
TUTORIAL

# %% [markdown]
# ## S8 Train
#
# A network with enough weights can learn its training pictures by heart and still fail on new ones.
# This is called *overfitting*, and the training loss does not show it. So 5,000 of the 60,000
# pictures are put aside as the *validation* part, 500 from each class: nothing is learnt from them,
# and they show after each pass how the network does on pictures that are new to it. The original
# tutorial has no such part.
#
# Validation is also the place for every choice: how many passes, which network, which seed to keep.
# Whoever chooses by the test score has used up the exam, and its mark is then too good to be true.

# %%
training, validation = split_validation(dataset, seed=0)
print(len(training), len(validation), validation.counts)

# %% [markdown]
# Now the training itself: ten passes (*epochs*) over the 55,000 pictures in batches of 32, which
# makes 1,719 steps a pass. `lookbook.train` makes the same split by itself. The result is a *run*,
# a folder that holds the weights, the model and everything needed to do it again; here it lies in a
# temporary place. The seed is given, so the same machine prints the same lines each time. Another
# machine rounds a little differently, and by the last epoch its figures may lie as far from these
# as those of another seed.

# %%
def tell(progress):
    if progress.epoch_ended:
        print(
            f"epoch {progress.epoch:2}/{progress.epochs}"
            f"  loss {progress.loss:.4f}  accuracy {progress.accuracy:.4f}"
            f"  val_loss {progress.val_loss:.4f}  val_accuracy {progress.val_accuracy:.4f}"
        )


scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name) / "my-first-run"
run = lookbook.train("fashion-mnist", TUTORIAL, seed=0, out=folder, tell=tell)
print(run.folder.name)
print(*sorted(path.name for path in run.folder.iterdir()))

# %% [markdown]
# Read the two curves together. On the training pictures the loss falls pass after pass. On
# validation it falls at first, then flattens and starts to jump up and down. The gap that opens
# between them is overfitting at work: from there on the network learns more and more about its own
# pictures, and little that helps with others.

# %%
plots.plot_history(run.history)

# %% [markdown]
# ## S9 Evaluate
#
# Now the exam, once. *Accuracy* is the share of the 10,000 test pictures that got the right name.
#
# Another 10,000 pictures would give a slightly different figure, so a figure without its
# uncertainty says too little. The two numbers in brackets are the *Wilson 95 % interval*: of all
# intervals made this way, 95 in 100 hold the true value. At 10,000 pictures and an accuracy like
# this one it reaches about 0.6 points to either side; with 100 pictures it would be more than 6.

# %%
found = lookbook.evaluate(run)
low, high = found.interval
print(f"accuracy {found.accuracy:.4f}  [{low:.4f}, {high:.4f}]  loss {found.loss:.4f}")

# %% [markdown]
# The interval covers the luck of the pictures, not the luck of the seed. The seeds 0 to 7 of this
# recipe gave 87.1 to 88.3 %, and the original tutorial reports 88.63 % from one run without a seed,
# trained on all 60,000 pictures. Between two single runs, then, half a point proves nothing.

# %% [markdown]
# ## S10 Probabilities
#
# Scores are hard to read, so *softmax* turns them into probabilities: raise e to the power of each
# score, then divide by the sum. All ten are positive and add up to 1. It must happen exactly once,
# and here it happens in one place, inside the model file.
#
# Just before it, the scores are divided by a single number, the *temperature*. Networks tend to be
# surer than they should be. The temperature is the number that makes the loss on validation
# smallest; with it, of all answers given with 80 % about 80 in 100 are right. This is called
# *calibration*. The order of the classes stays, so no answer changes.

# %%
model = lookbook.Model.open(run.model)
logits, probs, novelty = model.predict(x_test)
temperature = run.metrics.temperature
print(probs.shape, probs.sum(axis=1).round(6))
print(np.allclose(probs, softmax(logits / temperature), atol=1e-6))
print(f"temperature {temperature:.3f}  loss {found.uncalibrated_loss:.4f} -> {found.loss:.4f}")

# %% [markdown]
# What if softmax is applied twice? The original tutorial did just that: its last layer already was
# a softmax, and a second one followed for the predictions. Training did not suffer, because Keras
# noticed and silently computed the right loss. But the second softmax gets nothing but values
# between 0 and 1, too close together to come out far apart. Even a perfect answer, 1 for one class
# and 0 for the nine others, becomes e / (e + 9) = 0.232, because e to the power of 0 is 1. No class
# could ever get beyond 23.2 %, however sure the network was. The order of the classes survives and
# so does the accuracy, which is why the mistake is so easy to overlook.
#
# See for yourself, with test picture 2,000: probabilities made once, then made twice. The last line
# holds the largest probability among all 10,000 pictures, made once and made twice, and e / (e +
# 9).

# %%
once = probs[2000]
twice = softmax(once[None])[0]
print("once ", *(f"{p:.3f}" for p in once))
print("twice", *(f"{p:.3f}" for p in twice))
largest = probs.max(), softmax(probs).max(), np.e / (np.e + 9)
print("max  ", *(f"{p:.3f}" for p in largest))

# %% [markdown]
# ## S11 Single predictions
#
# Accuracy is about the crowd; a single picture shows between which classes the network wavers.
# Beside each picture stand its ten probabilities. The caption names the predicted class, its
# probability and the true class: blue if they agree, red if not. Picture 800 is one that this
# network usually gets wrong. Ask yourself whether you can see why.

# %%
plots.plot_predictions(lookbook.predict(run, ["test:2000", "test:800"]))

# %% [markdown]
# ## S12 Fifteen predictions
#
# Two pictures can mislead; the first fifteen of the test part were not picked by anyone. Compare
# the long bars with the short ones. When the network is wrong, its second choice is often the right
# one, and a divided vote like that is a warning that you can use: let a person decide there.

# %%
plots.plot_predictions(lookbook.predict(run, [f"test:{i}" for i in range(15)]), columns=3)

# %% [markdown]
# ## S13 Confusion matrix
#
# One accuracy hides where the mistakes are. Each row of this table is a true class, each column
# what the network said; right answers lie on the diagonal, and every other number counts one kind
# of mix-up. Trousers and bags are easy. The shirt is the hard one: T-shirts, pullovers and coats
# have much the same outline, and 28×28 pixels leave hardly anything of the buttons.

# %%
plots.plot_confusion(found.confusion_matrix, found.classes)

# %% [markdown]
# These five pairs were mixed up most, both directions together.

# %%
for pair in found.most_confused:
    print(f"{pair.count:4}", " / ".join(pair.pair))

# %% [markdown]
# ## What next
#
# - Train again with `TUTORIAL.with_epochs(30)` and draw the curves of S8. Where would you stop?
#   Which part of the data may tell you?
# - Train with `seed=1` and `seed=2` and compare `run.metrics.validation`. Do the accuracies
#   differ by more than their intervals?
# - Predict a photograph of your own: `lookbook.predict(run, ["my-shoe.jpg"])`. Most likely it will be
#   called a Bag, and with a high percentage: of 26 photographs of shoes this network called 23 a Bag,
#   three a Shirt and none a shoe, and only for about half of them `strange` was True, "not one of
#   these?". It has seen clothes that were cut out, grey, on a dark ground, 28 pixels wide, and nothing
#   else; what it says of other pictures cannot be believed.
#
# A run never overwrites another one. Leave out `out=`, and each gets a folder of its own in `runs`
# and stays there.
#
# The last line removes the temporary run.

# %%
scratch.cleanup()
