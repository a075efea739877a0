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
# # 첫 신경망: 옷 이미지 구별하기
#
# 이 수업에서는 옷 이미지를 불러와 살펴보고, 작은 신경망을 훈련해 무슨 옷인지 맞히게 한 다음, 그
# 답을 어디까지 믿어도 되는지 따져 봅니다. 모두 열세 단계입니다. 노트북 컴퓨터 한 대면 충분하고,
# 훈련은 대개 1분도 걸리지 않습니다. 파이썬을 조금 다룰 줄 알면 되고, 수학은 평균과 거듭제곱만
# 알아도 따라올 수 있습니다.
#
# 순서는 Fashion-MNIST를 다룬 기존 입문 튜토리얼을 따르되, 잘못된 부분은 바로잡았습니다. 누구나 하기
# 쉬운 실수라서 알아 두면 도움이 됩니다. 그래서 해당하는 단계마다 무엇이 문제였는지 함께 설명합니다.

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
# ## S1 불러오기
#
# Fashion-MNIST는 작은 흑백 옷 이미지 70,000장과 각 이미지의 정답인 **레이블**로 이루어져 있습니다.
# 이 가운데 60,000장은 신경망이 배우는 데 쓰고, 나머지 10,000장은 **테스트**에 씁니다. 테스트는 처음
# 보는 문제로 치르는 시험과 같습니다. 문제를 미리 알고 준비했다면 점수를 믿을 수 없으니, 테스트
# 데이터는 S9까지 쓰지 않고 남겨 둡니다.

# %%
(x_train, y_train), (x_test, y_test) = lookbook.load_data("fashion-mnist")
print(x_train.shape, y_train.shape, x_test.shape, y_test.shape)

# %% [markdown]
# ## S2 원본 픽셀 값
#
# 컴퓨터에게 이미지는 숫자로 된 표입니다. 여기서는 28행 28열이고, 각 숫자는 0(아무것도 없음)부터
# 255(가장 밝음)까지의 밝기를 1바이트에 담은 값입니다. 아래는 20,000번 훈련 이미지의 10번
# 행입니다(0부터 셉니다). 신경망이 실제로 무엇을 입력받는지 알 수 있으니, 먼저 숫자를 직접 확인하는
# 습관을 들이면 좋습니다.

# %%
picture = x_train[20_000]
print(picture.dtype, picture.min(), picture.max())
print(*picture[10])

# %% [markdown]
# ## S3 정규화
#
# 신경망은 입력에 가중치를 곱해 더하는 계산을 되풀이합니다. 입력이 수백에 이르면 그 합도 지나치게
# 커져서, 가중치를 고칠 때마다 알맞은 값을 훌쩍 지나치기 쉽습니다. 그래서 (x − min) / (max −
# min)으로 0~255 범위를 0~1로 옮깁니다. 정보는 하나도 잃지 않으면서 훈련은 더 빠르고 안정적으로
# 진행됩니다. 여기서 0과 255는 이미지 한 장의 최솟값과 최댓값이 아니라 픽셀 값이 가질 수 있는 범위의
# 양 끝이므로, 모든 이미지에 똑같은 기준이 적용됩니다.
#
# 지금은 눈으로 확인하려고 직접 계산해 봅니다. 뒤에서 훈련할 모델에는 이 계산이 들어 있어서, 나중에
# 빠뜨릴 걱정이 없습니다.

# %%
scaled = (picture - 0) / (255 - 0)
print(*scaled[10].round(8))

# %% [markdown]
# ## S4 레이블
#
# 레이블은 0부터 9까지의 숫자로 저장되어 있고, 각 숫자의 뜻은 아래 표와 같습니다. 이 숫자는 이름표일
# 뿐입니다. 앵클부츠(9)가 드레스(3)의 세 배라는 뜻은 아니니까요. 그래서 신경망도 숫자 하나가 아니라
# 클래스마다 하나씩, 모두 열 개의 점수를 내놓게 합니다.

# %%
dataset = lookbook.load("fashion-mnist", "train")
Markdown(terminal.label_table(dataset.classes))

# %% [markdown]
# 클래스마다 이미지가 몇 장씩 있는지도 중요합니다. 만약 열 장 중 아홉 장이 바지라면, 무조건
# "Trouser"라고만 답하는 프로그램도 90%를 맞힙니다. 아는 것은 하나도 없는데 말입니다. 이 데이터는
# 모든 클래스의 이미지 수가 같으므로, 아무렇게나 찍으면 10%를 맞힙니다.

# %%
plots.plot_balance(dataset, lang="ko")

# %% [markdown]
# ## S5 이미지 한 장
#
# 앞에서 한 행을 읽어 본 바로 그 이미지입니다. 흑백을 뒤집어 그렸기 때문에 값이 클수록 진하게
# 보입니다. 왼쪽 눈금에서 10번 행을 찾아 S2의 숫자와 비교해 보세요. 값이 150을 넘는 자리가 진한
# 부분입니다.

# %%
plots.plot_picture(dataset.images[20_000], title=dataset.classes[dataset.labels[20_000]], lang="ko")

# %% [markdown]
# ## S6 이미지 여러 장
#
# 훈련하기 전에 데이터를 눈으로 살펴봅니다. 뒤집힌 이미지, 맞지 않는 레이블, 사람이 봐도 구별하기
# 어려운 클래스는 숫자로 된 표만 봐서는 알아채기 어렵지만, 스물다섯 장만 훑어봐도 눈에 띕니다. 이
# 크기에서 셔츠와 코트를 언제나 구별할 수 있는지 직접 시험해 보세요.

# %%
plots.plot_pictures(dataset, 19_988, lang="ko")

# %% [markdown]
# ## S7 신경망
#
# 먼저 이미지를 숫자 784개짜리 한 줄로 펼칩니다. 다음 층의 유닛 128개는 저마다 이 숫자들의 가중합을
# 구하고, **ReLU**가 그중 음수를 0으로 바꿉니다. 이렇게 한 번 꺾어 주지 않으면 층을 두 개 쌓아도 한
# 개와 다를 것이 없습니다. 마지막 층은 128개 값으로 점수 열 개를 만드는데, 이 점수를
# **로짓**(logit)이라고 합니다. 로짓은 어떤 값이든 될 수 있고, 가장 큰 쪽이 신경망의 답입니다.
# 가중치와 편향을 모두 합치면 101,770개이며, 학습이란 이 숫자들의 알맞은 값을 찾아가는 일입니다.
#
# 가중치는 난수로 시작하고, 어떤 난수를 쓸지는 **시드**(seed)가 정합니다. 같은 컴퓨터에서 시드가
# 같으면 똑같은 신경망이 다시 만들어지므로 결과를 확인할 수 있습니다. 시드를 정해 두지 않으면 아무도
# 같은 결과를 다시 얻을 수 없습니다.

# %%
classifier = build_classifier(TUTORIAL, x_train[:1], n_classes=10, seed=0)
print(classifier.network)
print(sum(weights.numel() for weights in classifier.network.parameters()))
print(784 * 128 + 128 + 128 * 10 + 10)

# %% [markdown]
# **레시피**(recipe)에는 어떻게 훈련할지가 적혀 있습니다. 신경망은 이미지를 32장씩 보고 점수를
# 레이블과 비교하며, 옵티마이저 **Adam**은 **손실**이 줄어드는 쪽으로 가중치를 조금씩 옮깁니다.
# 여기서 손실은 교차 엔트로피, 곧 정답 클래스에 준 확률에 −ln을 취한 값입니다. 확신하고 맞히면 0에
# 가깝고, 확신하고 틀리면 아주 커집니다. 열 클래스에 확률을 똑같이 나누어 주면 손실은 ln 10 ≈
# 2.30입니다.

# %%
TUTORIAL

# %% [markdown]
# ## S8 훈련
#
# 가중치가 넉넉한 신경망은 훈련 이미지를 통째로 외워 버리고, 처음 보는 이미지는 맞히지 못할 수
# 있습니다. 이것을 **과적합**(overfitting)이라고 하며, 훈련 손실만 봐서는 드러나지 않습니다. 그래서
# 60,000장 가운데 클래스마다 500장씩, 모두 5,000장을 **검증**용으로 떼어 놓습니다. 검증 이미지로는
# 아무것도 배우지 않고, 에포크가 끝날 때마다 처음 보는 이미지에서 얼마나 잘하는지만 재어 봅니다.
# 원래 튜토리얼에는 이 과정이 없었습니다.
#
# 무언가를 고를 때도 검증 결과를 봅니다. 훈련을 얼마나 오래 할지, 어떤 신경망을 쓸지, 어느 시드의
# 결과를 남길지 모두 마찬가지입니다. 테스트 점수를 보고 고르면 시험 문제를 미리 본 것과 같아서, 그
# 점수는 실제 실력보다 높게 나옵니다.

# %%
training, validation = split_validation(dataset, seed=0)
print(len(training), len(validation), validation.counts)

# %% [markdown]
# 이제 훈련합니다. 55,000장을 32장씩 나누어 모두 보면 1,719스텝이고, 이렇게 한 바퀴 도는 것을
# **에포크**(epoch)라고 합니다. 여기서는 열 에포크를 훈련합니다. 바로 위에서 해 본 분할은
# `lookbook.train`이 똑같이 알아서 합니다. 훈련이 끝나면 가중치와 모델, 그리고 같은 훈련을 다시 하는
# 데 필요한 기록이 **실행 결과**(run)라는 폴더 하나에 담기는데, 여기서는 임시 폴더를 씁니다.
#
# 시드를 정했으므로 같은 컴퓨터에서는 언제나 똑같은 값이 나옵니다. 다른 컴퓨터에서는 반올림이 조금씩
# 달라서, 마지막 에포크쯤에는 시드를 바꾼 만큼 차이가 날 수도 있습니다.

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
# 두 곡선을 함께 봅니다. 훈련 손실은 에포크마다 계속 줄어듭니다. 검증 손실은 처음에는 줄다가 곧
# 평평해지고 오르내리기 시작합니다. 두 곡선 사이가 벌어지는 것이 바로 과적합입니다. 이때부터
# 신경망은 훈련 이미지에만 있는 특징을 점점 더 배울 뿐, 다른 이미지에 도움이 되는 것은 거의 배우지
# 못합니다.

# %%
plots.plot_history(run.history, lang="ko")

# %% [markdown]
# ## S9 평가
#
# 이제 시험을 치릅니다. 기회는 한 번뿐입니다. **정확도**는 테스트 이미지 10,000장 가운데 맞힌
# 비율입니다.
#
# 다른 이미지 10,000장으로 시험했다면 값이 조금 달랐을 것입니다. 그래서 정확도는 얼마나 확실한지와
# 함께 적어야 합니다. 대괄호 안의 두 수는 **윌슨 95% 신뢰구간**으로, 이 방법으로 구간을 100번
# 구하면 95번쯤은 참값이 그 안에 들어갑니다. 이미지가 10,000장이고 정확도가 이 정도면 구간은
# 위아래로 약 0.6%p(퍼센트포인트)이고, 100장뿐이라면 6%p가 넘습니다.

# %%
found = lookbook.evaluate(run)
low, high = found.interval
print(f"accuracy {found.accuracy:.4f}  [{low:.4f}, {high:.4f}]  loss {found.loss:.4f}")

# %% [markdown]
# 이 구간은 이미지를 뽑는 우연만 반영하고 시드에 따른 우연은 반영하지 않습니다. 같은 레시피를 시드 0부터
# 7까지 바꾸어 가며 훈련해 보면 87.1%에서 88.3% 사이가 나옵니다. 원래 튜토리얼의 88.63%는 시드를
# 정하지 않고 60,000장을 모두 써서 한 번 훈련한 결과입니다. 그러니 한 번씩만 훈련해 얻은 두 결과가
# 0.5%p쯤 다르다고 해서 어느 쪽이 낫다고 말할 수는 없습니다.

# %% [markdown]
# ## S10 확률
#
# 점수만으로는 뜻을 읽기 어려우므로 **소프트맥스**(softmax)로 확률을 만듭니다. e를 점수만큼
# 거듭제곱한 다음 그 합으로 나누면, 열 개 값이 모두 양수가 되고 합은 1이 됩니다. 소프트맥스는 정확히
# 한 번만 적용해야 하며, 여기서는 모델 파일 안 한 곳에서만 적용합니다.
#
# 소프트맥스 바로 앞에서 점수를 **온도**(temperature)라는 수 하나로 나눕니다. 신경망은 실제 실력보다
# 더 확신하는 일이 많은데, 검증 손실이 가장 작아지도록 온도를 정하면 80%라고 답한 것 가운데 실제로
# 80%쯤이 맞게 됩니다. 이것을 **보정**(calibration)이라고 합니다. 클래스의 순서는 바뀌지 않으므로
# 답도 바뀌지 않습니다.

# %%
model = lookbook.Model.open(run.model)
logits, probs, novelty = model.predict(x_test)
temperature = run.metrics.temperature
print(probs.shape, probs.sum(axis=1).round(6))
print(np.allclose(probs, softmax(logits / temperature), atol=1e-6))
print(f"temperature {temperature:.3f}  loss {found.uncalibrated_loss:.4f} -> {found.loss:.4f}")

# %% [markdown]
# 소프트맥스를 두 번 적용하면 어떻게 될까요? 원래 튜토리얼이 바로 그랬습니다. 마지막 층에 이미
# 소프트맥스가 있는데, 예측할 때 한 번 더 적용한 것입니다. 훈련은 Keras가 알아채고 손실을 조용히
# 바르게 계산해 준 덕분에 문제가 없었습니다. 그러나 두 번째 소프트맥스에는 0과 1 사이의 값만
# 들어가고, 이렇게 가까이 모인 값들은 확률로 바꾸어도 크게 벌어지지 않습니다. 한 클래스가 1이고
# 나머지 아홉이 0인 완벽한 답조차, e의 0제곱이 1이므로, e / (e + 9) = 0.232가 됩니다. 신경망이
# 아무리 확신해도 어떤 클래스든 23.2%를 넘을 수 없는 것입니다. 클래스의 순서와 정확도는 그대로여서
# 알아채기 어려운 실수입니다.
#
# 2,000번 테스트 이미지로 직접 확인해 봅니다. 첫 줄은 한 번, 둘째 줄은 두 번 적용한 확률입니다.
# 마지막 줄에는 10,000장 전체에서 가장 큰 확률이 한 번 적용했을 때, 두 번 적용했을 때의 순서로
# 나오고, 그다음이 e / (e + 9)입니다.

# %%
once = probs[2000]
twice = softmax(once[None])[0]
print("once ", *(f"{p:.3f}" for p in once))
print("twice", *(f"{p:.3f}" for p in twice))
largest = probs.max(), softmax(probs).max(), np.e / (np.e + 9)
print("max  ", *(f"{p:.3f}" for p in largest))

# %% [markdown]
# ## S11 예측 하나씩 보기
#
# 정확도는 전체를 말해 주고, 이미지 한 장은 신경망이 어떤 클래스들 사이에서 망설이는지 보여 줍니다.
# 이미지 옆에는 열 클래스의 확률이, 아래에는 예측한 클래스와 그 확률, 그리고 정답이 적혀 있습니다.
# 맞으면 파란색, 틀리면 빨간색입니다. 800번은 이 신경망이 자주 틀리는 이미지입니다. 왜 그런지 짐작이
# 되나요?

# %%
plots.plot_predictions(lookbook.predict(run, ["test:2000", "test:800"]), lang="ko")

# %% [markdown]
# ## S12 예측 열다섯 개
#
# 두 장만 보면 우연에 속을 수 있습니다. 이번에는 누가 골라낸 것이 아니라 테스트 데이터의 처음 열다섯
# 장입니다. 막대 하나가 길게 뻗은 이미지와 여러 막대로 나뉜 이미지를 비교해 보세요. 신경망이 틀렸을
# 때는 두 번째로 확률이 높은 클래스가 정답인 경우가 많습니다. 그래서 확률이 나뉘어 있으면 사람이
# 확인해야 한다는 신호로 쓸 수 있습니다.

# %%
plots.plot_predictions(lookbook.predict(run, [f"test:{i}" for i in range(15)]), columns=3, lang="ko")

# %% [markdown]
# ## S13 혼동 행렬
#
# 정확도 하나로는 어디서 틀렸는지 알 수 없습니다. 이 표의 행은 실제 클래스, 열은 신경망이 예측한
# 클래스입니다. 맞힌 이미지는 대각선에 놓이고, 나머지 숫자는 어떤 클래스를 어떤 클래스로 몇 번 잘못
# 보았는지를 나타냅니다. 바지와 가방은 쉽습니다. 어려운 것은 셔츠입니다. 티셔츠, 풀오버, 코트와
# 윤곽이 비슷하고, 28×28 픽셀에서는 단추가 거의 보이지 않기 때문입니다.

# %%
plots.plot_confusion(found.confusion_matrix, found.classes, lang="ko")

# %% [markdown]
# 가장 많이 혼동한 다섯 쌍입니다. 양쪽 방향을 더한 횟수입니다.

# %%
for pair in found.most_confused:
    print(f"{pair.count:4}", " / ".join(pair.pair))

# %% [markdown]
# ## 다음 단계
#
# - `TUTORIAL.with_epochs(30)`으로 다시 훈련하고 S8의 곡선을 그려 보세요. 어디에서 멈추겠습니까? 그
#   결정은 어느 데이터를 보고 내려야 할까요?
# - `seed=1`과 `seed=2`로도 훈련하고 `run.metrics.validation`을 비교해 보세요. 정확도의 차이가
#   신뢰구간보다 큰가요?
# - 직접 찍은 사진을 예측해 보세요: `lookbook.predict(run, ["my-shoe.jpg"])`. 아마 높은 확률로 가방(Bag)이라고
#   할 것입니다. 신발 사진 26장을 넣어 보니 23장을 가방, 3장을 셔츠라고 했고 신발이라고 한 것은 하나도
#   없었습니다. ‘여기 없는 종류인 듯’(`strange`)이라고 한 것도 절반쯤뿐이었습니다. 이 신경망이 본 것은
#   어두운 바탕에 오려 놓은 28픽셀짜리 흑백 옷뿐이므로, 다른 사진에 대한 답은 믿을 수 없습니다.
#
# 실행 결과는 다른 실행 결과를 덮어쓰지 않습니다. `out=`을 빼면 `runs` 폴더 안에 새 폴더가 하나씩 생기고
# 그대로 남습니다.
#
# 마지막 줄은 임시로 만든 실행 결과를 지웁니다.

# %%
scratch.cleanup()
